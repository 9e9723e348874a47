// Dragging over a camera's picture fills in the next empty row of its form, in percent; the rows are drawn as they stand. Saving is the form's.
const SIDES = ["left", "top", "width", "height"];

for (const picture of document.querySelectorAll("[data-masking]")) {
  const form = picture.closest("section").querySelector("form");
  const box = picture.viewBox.baseVal;
  const drawn = document.createElementNS(picture.namespaceURI, "g");
  picture.append(drawn);

  const rows = () => [...form.querySelectorAll("tbody tr")].map((row) => SIDES.map((side) => row.querySelector(`[name=${side}]`)));
  const rectangle = ([left, top, width, height]) => {
    const found = document.createElementNS(picture.namespaceURI, "rect");
    found.setAttribute("class", "area");
    found.setAttribute("x", (left / 100) * box.width);
    found.setAttribute("y", (top / 100) * box.height);
    found.setAttribute("width", (width / 100) * box.width);
    found.setAttribute("height", (height / 100) * box.height);
    return found;
  };
  const draw = (extra) => {
    const areas = rows().map((inputs) => inputs.map((input) => Number.parseFloat(input.value)));
    const shown = [...areas, extra ?? []].filter((area) => area.length === 4 && area.every(Number.isFinite));
    drawn.replaceChildren(...shown.map(rectangle));
  };
  const place = (event) => {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(picture.getScreenCTM().inverse());
    return [(100 * at.x) / box.width, (100 * at.y) / box.height].map((share) => Math.min(100, Math.max(0, share)));
  };
  const between = ([x, y], [toX, toY]) => [Math.min(x, toX), Math.min(y, toY), Math.abs(toX - x), Math.abs(toY - y)];

  let from = null;
  picture.addEventListener("pointerdown", (event) => {
    from = place(event);
    picture.setPointerCapture(event.pointerId);
    event.preventDefault();
  });
  picture.addEventListener("pointermove", (event) => from && draw(between(from, place(event))));
  picture.addEventListener("pointerup", (event) => {
    const area = from && between(from, place(event));
    from = null;
    const empty = rows().find((inputs) => inputs.every((input) => !input.value));
    if (area && area[2] > 1 && area[3] > 1 && empty) empty.forEach((input, n) => { input.value = area[n].toFixed(1); });
    draw();
  });
  form.addEventListener("input", () => draw());
  draw();
}
