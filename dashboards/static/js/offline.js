// Asks the service worker (sw.js) to keep the folder of action cards; signing out takes it away again. Only where the browser has one (https, localhost).
const worker = navigator.serviceWorker;

async function tell(word) {
  const there = await worker.ready;
  there.active?.postMessage(word);
}

if (worker && document.body.dataset.stream) {
  worker.register('/static/js/sw.js', { scope: '/' }).then(() => tell('keep')).catch((error) => console.warn('no cards are kept for a time without the network', error));
  document.querySelector('form[action="/logout"]')?.addEventListener('submit', () => tell('forget'));
}
