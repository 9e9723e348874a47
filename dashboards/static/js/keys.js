// Ctrl+K finds something from anywhere; where the page has a field for finding, it is that one.
const FIELD = 'input[type="search"]';

function find() {
  const field = document.querySelector(FIELD);
  if (field) field.focus();
  else location.href = '/search';
}

document.addEventListener('keydown', (event) => {
  if (event.key.toLowerCase() !== 'k' || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return;
  event.preventDefault();
  find();
});
if (location.pathname === '/search' && !location.search) find();
