// Times are microseconds since 1970 in UTC, as the journal has them.
const SECOND = 1e6, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR;
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const STEPS = [
  ...[1, 10, 100, 1e3, 1e4, 1e5].flatMap((unit) => [unit, 2 * unit, 5 * unit]),
  ...[SECOND, MINUTE].flatMap((unit) => [1, 2, 5, 10, 15, 30].map((times) => times * unit)),
  ...[1, 2, 3, 6, 12].map((times) => times * HOUR),
  ...[1, 2, 7, 14, 30, 90, 180, 365, 730, 1825, 3650, 36500].map((times) => times * DAY),
];

const dateOf = (us) => new Date(Math.floor(us / 1000));
const two = (number) => String(number).padStart(2, '0');

// As the journal shows it: 2026-11-21T03:12:00.000250Z.
function iso(us) {
  const millis = Math.floor(us / 1000);
  return `${new Date(millis).toISOString().slice(0, -1)}${String(us - millis * 1000).padStart(3, '0')}Z`;
}

function day(us) {
  const date = dateOf(us);
  return `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]} ${date.getUTCFullYear()}`;
}

// The time of day, as exact as a step of the axis asks for.
function clock(us, step) {
  const text = iso(us);
  if (step >= MINUTE) return text.slice(11, 16);
  if (step >= SECOND) return text.slice(11, 19);
  return text.slice(11, step >= 1000 ? 23 : 26);
}

// A duration in its two largest units.
function span(us) {
  const size = Math.abs(us);
  const sign = us < 0 ? '−' : '';
  if (size < 1000) return `${sign}${size} µs`;
  if (size < SECOND) return `${sign}${(size / 1000).toFixed(size < 10_000 ? 1 : 0)} ms`;
  if (size < MINUTE) return `${sign}${(size / SECOND).toFixed(size < 10 * SECOND ? 2 : 1)} s`;
  const units = [[DAY, 'd'], [HOUR, 'h'], [MINUTE, 'min'], [SECOND, 's']];
  const first = units.findIndex(([unit]) => size >= unit);
  const [[unit, name], lower] = [units[first], units[first + 1]];
  const rest = lower ? Math.floor((size % unit) / lower[0]) : 0;
  return `${sign}${Math.floor(size / unit)} ${name}${rest ? ` ${rest} ${lower[1]}` : ''}`;
}

// Where an axis of so many pixels has its marks, and what stands at them; the day where it changes.
function ticksOf(from, to, width, apart = 92) {
  const least = (to - from) * apart / Math.max(width, 1);
  const step = STEPS.find((candidate) => candidate >= least) ?? STEPS.at(-1);
  const ticks = [];
  let before = null;
  for (let at = Math.ceil(from / step) * step; at <= to && ticks.length < 400; at += step) {
    const date = day(at);
    const label = step >= DAY ? date.slice(0, -5) : clock(at, step);
    ticks.push({ at, label, day: date === before ? null : date });
    before = date;
  }
  return { step, ticks };
}

// A range in words: the day once if it is one day.
function rangeWords(from, to) {
  const exact = to - from < 10 * SECOND ? 1000 : SECOND;
  const [first, last] = [day(from), day(to)];
  const end = first === last ? clock(to, exact) : `${last} ${clock(to, exact)}`;
  return `${first} ${clock(from, exact)} – ${end} UTC`;
}
