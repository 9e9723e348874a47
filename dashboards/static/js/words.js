// The words of the page's language, written into the page by the server.
const words = JSON.parse(document.getElementById('words').textContent);

export default words;

/** A template with %(name)s filled in. */
export function fill(template, values) {
  return template.replace(/%\((\w+)\)s/g, (_, name) => String(values[name]));
}

export const ui = (key, values = {}) => fill(words.ui[key], values);

const DECIMALS = { temperature: 1, dew_point: 1, pressure: 0, co2: 0, illuminance: 0 };

/** A value as the server's templates write it: a state by its word, a number with its decimals, — for none. */
export function number(quantity, value) {
  if (value === null || value === undefined) return '—';
  const states = words.state_of[quantity];
  if (states) return states[String(Math.trunc(value))] ?? String(value);
  return value.toFixed(DECIMALS[quantity] ?? 1);
}

export function age(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return fill(words.spoken.ago_s, { n: s });
  if (s < 3600) return fill(words.spoken.ago_m, { n: Math.floor(s / 60) });
  if (s < 86400) return fill(words.spoken.ago_h, { n: Math.floor(s / 3600) });
  return fill(words.spoken.ago_d, { n: Math.floor(s / 86400) });
}

export function duration(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return fill(words.spoken.for_s, { n: s });
  if (s < 3600) return fill(words.spoken.for_m, { n: Math.floor(s / 60) });
  if (s < 86400 && s % 3600 < 60) return fill(words.spoken.for_h, { n: Math.floor(s / 3600) });
  if (s < 86400) return fill(words.spoken.for_hm, { h: Math.floor(s / 3600), m: Math.floor((s % 3600) / 60) });
  return fill(words.spoken.for_dh, { d: Math.floor(s / 86400), h: Math.floor((s % 86400) / 3600) });
}
