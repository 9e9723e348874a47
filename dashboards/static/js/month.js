// The month opens at today: on a phone it is wider than the screen.
const today = document.querySelector('.month th.today');
if (today) {
  const frame = today.closest('.scroll');
  const names = frame.querySelector('th').offsetWidth; // stays in view
  frame.scrollLeft = today.offsetLeft - names - (frame.clientWidth - names - today.offsetWidth) / 2;
}
