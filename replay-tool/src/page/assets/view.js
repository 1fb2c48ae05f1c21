// What is looked at: filter, time range and selection; the address keeps them, so that they can be handed on.
const view = {
  query: '', looks: new Set(), refused: false, inView: false, sort: 'created', size: 'large',
  from: whole.from, to: whole.to, run: null, entry: null, hover: null, rows: [], drawn: 0,
};
const SHORTEST = 20;
const SORTS = {
  created: null,
  newest: (one, other) => other.beganAt - one.beganAt,
  name: (one, other) => one.title.localeCompare(other.title),
  longest: (one, other) => other.lasted - one.lasted,
  refusals: (one, other) => other.refused - one.refused,
};

const painters = [];
let asked = false;

// Draws everything once before the next frame.
function repaint() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    for (const paint of painters) paint();
    view.drawn += 1;
  });
}

function filter() {
  const wanted = view.query.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = (run) => (!view.looks.size || view.looks.has(run.look)) && (!view.refused || run.refused > 0)
    && (!view.inView || (run.beganAt <= view.to && run.finalAt >= view.from)) && run.fits(wanted);
  const rows = runs.filter(fits);
  if (SORTS[view.sort]) rows.sort((one, other) => SORTS[view.sort](one, other) || one.number - other.number);
  view.rows = rows;
}

function changeFilter(change) {
  Object.assign(view, change);
  filter();
  remember();
  repaint();
}

function setRange(from, to) {
  const length = Math.min(Math.max(to - from, SHORTEST), whole.to - whole.from);
  const begin = Math.min(Math.max(from, whole.from), whole.to - length);
  [view.from, view.to] = [begin, begin + length];
  if (view.inView) filter();
  remember();
  repaint();
}

// Zooms by a factor, with the time at a share of the width staying where it is.
function zoom(factor, share = 0.5) {
  const length = (view.to - view.from) * factor;
  const fixed = view.from + (view.to - view.from) * share;
  setRange(fixed - length * share, fixed + length * (1 - share));
}

function pan(share) {
  const by = (view.to - view.from) * share;
  setRange(view.from + by, view.to + by);
}

const isWhole = () => view.from <= whole.from && view.to >= whole.to;

// Chooses an entry and its run; the time range moves only if the entry is outside of it.
function select(run, entry) {
  [view.run, view.entry] = [run, entry];
  const at = entry === null ? null : entries.time[entry];
  if (at !== null && (at < view.from || at > view.to)) {
    const half = (view.to - view.from) / 2;
    setRange(at - half, at + half);
  }
  remember();
  showDetail();
  repaint();
}

function selectEntry(entry) {
  const run = entries.run[entry];
  select(run === null ? null : runs[run], entry);
  if (run !== null) bringIntoSight(runs[run]);
}

let remembering = 0;

function remember() {
  clearTimeout(remembering);
  remembering = setTimeout(() => {
    const text = address();
    if (text !== location.hash.slice(1)) history.replaceState(null, '', `#${text}`);
  }, 200);
}

function address() {
  const parts = new URLSearchParams();
  if (view.query) parts.set('q', view.query);
  if (view.looks.size) parts.set('status', [...view.looks].join(','));
  if (view.refused) parts.set('refused', '1');
  if (view.inView) parts.set('inview', '1');
  if (view.sort !== 'created') parts.set('sort', view.sort);
  if (view.size !== 'large') parts.set('rows', view.size);
  if (!isWhole()) {
    parts.set('from', iso(Math.round(view.from)));
    parts.set('to', iso(Math.round(view.to)));
  }
  if (view.entry !== null) parts.set('at', String(entries.position[view.entry]));
  else if (view.run) parts.set('run', view.run.id);
  return parts.toString();
}

// A time as `iso` writes it; microseconds are more than a Date keeps.
function timeIn(text) {
  const millis = Date.parse(text ?? '');
  return Number.isNaN(millis) ? null : Math.floor(millis / 1000) * SECOND + Number(/\.(\d{6})Z$/.exec(text)?.[1] ?? 0);
}

function recall() {
  const parts = new URLSearchParams(location.hash.slice(1));
  const known = (name, names, otherwise) => (names.includes(parts.get(name)) ? parts.get(name) : otherwise);
  const looks = (parts.get('status') ?? '').split(',').filter((key) => key in LOOK_NAMES);
  Object.assign(view, {
    query: parts.get('q') ?? '', looks: new Set(looks), refused: parts.has('refused'), inView: parts.has('inview'),
    sort: known('sort', Object.keys(SORTS), 'created'), size: known('rows', ['large', 'small', 'tiny'], 'large'),
  });
  const [from, to] = [timeIn(parts.get('from')), timeIn(parts.get('to'))];
  if (from !== null && to !== null && from < to) setRange(from, to);
  else setRange(whole.from, whole.to);
  filter();
  const entry = whole.entryAt.get(Number(parts.get('at'))) ?? null;
  const run = entry === null ? runById.get(parts.get('run')) : runs[entries.run[entry]];
  if (entry !== null || run || view.run || view.entry !== null) select(run ?? null, entry);
  if (run) bringIntoSight(run);
}
