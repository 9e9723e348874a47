// Dialogs and short messages. Without htmx nothing here takes hold: the links lead to the alarm's own page, which has the same forms.
import { tick } from './clock.js';
import { ui } from './words.js';

const dialog = document.getElementById('dialog');
const toast = document.getElementById('toast');

function say(text) {
  const message = document.createElement('p');
  message.className = 'refused';
  message.textContent = text;
  const place = dialog.open ? document.getElementById('dialog-message') : null;
  (place ?? toast).replaceChildren(message);
}

document.addEventListener('click', (event) => {
  if (event.target.closest('[data-close]')) dialog.close();
  if (event.target.closest('[data-dismiss]')) toast.replaceChildren();
  if (window.htmx && event.target.closest('[data-dialog]') && !event.ctrlKey && !event.metaKey) {
    document.getElementById('dialog-body').replaceChildren();
    dialog.showModal();
  }
});
// The digits of texts and calls: the key opens the question, a second step answers it.
document.addEventListener('keydown', (event) => {
  if (dialog.open || event.ctrlKey || event.metaKey || event.altKey || event.target.closest('input, textarea, select, [contenteditable]')) return;
  if (/^[1-5]$/.test(event.key)) document.querySelector(`[data-digit="${event.key}"]`)?.click();
});
document.addEventListener('aw-done', () => dialog.open && dialog.close());
document.addEventListener('htmx:after:swap', () => {
  tick();
  // A take-over must be one key away: the field that has to be filled in, else the button.
  if (dialog.open && !dialog.querySelector('#dialog-message > *')) dialog.querySelector('input:required:not([type=radio]), button.primary')?.focus();
});
document.addEventListener('htmx:error', () => say(ui('send_failed')));
