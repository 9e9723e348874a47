// On a phone each line of a list is a card: every cell says which column it is of, the cell that names the thing comes first, and empty ones are left
// out. On wide screens nothing changes; without this script the table scrolls sideways.
const LISTS = 'table.cards';
const NOTHING = ['', '—'];

function label(table) {
  const heads = [...(table.tHead?.rows[0]?.cells ?? [])].map((head) => head.textContent.trim());
  for (const row of [...table.tBodies].flatMap((body) => [...body.rows])) {
    const cells = [...row.cells];
    if (cells.length === 1 && cells[0].colSpan > 1) continue; // one cell across the whole line speaks for itself
    const shared = heads.length - cells.length; // columns on the left that a cell further up spans
    const lead = shared ? null : row.querySelector('th[scope="row"]') ?? cells.find((cell) => cell.querySelector('a[href]')) ?? cells[0];
    cells.forEach((cell, index) => {
      cell.dataset.label = heads[index + shared];
      cell.classList.toggle('lead', cell === lead);
      cell.classList.toggle('blank', NOTHING.includes(cell.textContent.trim()) && !cell.querySelector('input, select, progress'));
    });
  }
  table.classList.add('labelled');
}

const main = document.getElementById('main');
main.querySelectorAll(LISTS).forEach(label);
// Lists that the server renders anew come without labels.
new MutationObserver((changes) => {
  const added = changes.flatMap((change) => [...change.addedNodes]).filter((node) => node instanceof Element);
  const lists = added.flatMap((node) => [node.closest(LISTS), ...node.querySelectorAll(LISTS)]).filter((table) => table !== null);
  new Set(lists).forEach(label);
}).observe(main, { childList: true, subtree: true });
