// A click on the floor plan fills in where the chosen point stands, in percent of width and height, and shows it; saving is the form's.
const plan = document.querySelector("[data-plan]");
const form = document.querySelector("[data-marking] form");

if (plan && form) {
  const spot = document.createElementNS(plan.namespaceURI, "circle");
  plan.addEventListener("click", (event) => {
    const box = plan.viewBox.baseVal;
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(plan.getScreenCTM().inverse());
    form.elements["cell.x"].value = ((100 * at.x) / box.width).toFixed(1);
    form.elements["cell.y"].value = ((100 * at.y) / box.height).toFixed(1);
    spot.setAttribute("cx", at.x);
    spot.setAttribute("cy", at.y);
    spot.setAttribute("r", box.width / 80);
    spot.setAttribute("class", "new");
    plan.append(spot);
    form.closest("details").open = true;
  });
}
