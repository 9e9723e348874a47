// The folder of action cards stays at hand when the centre cannot be reached: it is kept once an hour, and shown for any page that does not load.
const STORE = 'aw-cards';
const FOLDER = '/duty/cards';
const KEPT_AT = '/duty/cards/kept-at';
const HOUR_MS = 3_600_000;

async function keep() {
  const store = await caches.open(STORE);
  const stamp = await store.match(KEPT_AT);
  if (stamp && Date.now() - Number(await stamp.text()) < HOUR_MS) return;
  const answer = await fetch(`${FOLDER}?kept=true`, { credentials: 'same-origin' });
  if (!answer.ok || answer.redirected) return;
  const styles = [...(await answer.clone().text()).matchAll(/href="(\/static\/[^"]+\.css[^"]*)"/g)].map((found) => found[1]);
  await store.addAll(styles);
  await store.put(FOLDER, answer);
  await store.put(KEPT_AT, new Response(String(Date.now())));
}

async function page(request) {
  try {
    return await fetch(request);
  } catch (error) {
    const kept = await caches.match(FOLDER);
    if (kept) return kept;
    throw error;
  }
}

self.addEventListener('install', () => self.skipWaiting());
self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));
self.addEventListener('message', (event) => {
  if (event.data === 'keep') event.waitUntil(keep());
  if (event.data === 'forget') event.waitUntil(caches.delete(STORE));
});
self.addEventListener('fetch', (event) => {
  const { request } = event;
  if (request.method === 'GET' && request.mode === 'navigate') event.respondWith(page(request));
  else if (request.destination === 'style') event.respondWith(fetch(request).catch(() => caches.match(request)));
});
