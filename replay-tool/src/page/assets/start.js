// Puts the page together, and listens.
const byId = (id) => document.getElementById(id);
const tip = byId('tip');
const brush = byId('brush');

function fillFacts() {
  const { source, range } = data;
  const positions = range.up_to > range.after ? `positions ${number(range.after + 1)} to ${number(range.up_to)}` : 'no entries';
  const only = range.only_run ? `run ${range.only_run}, ` : '';
  byId('facts').textContent = `${source.data}: ${only}${positions}${source.held ? '' : ` of ${number(source.head)}`}, ${rangeWords(whole.first, whole.last)}`;
  const chain = source.has_own_chain ? "the bundle's own chain, which is not the journal's," : 'the journal';
  byId('facts').title = `Hash of ${chain} at position ${source.head}: ${source.digest}`;
  document.title = `Tachograph report: ${source.data}`;
  const notes = [];
  if (source.held) notes.push(`This is made of a part of a journal: ${source.held}. Runs that began before have neither a name nor a command here.`);
  if (source.damage) notes.push(`Not all could be read: ${source.damage}.`);
  if (range.left_out) {
    notes.push(`${number(range.left_out)} earlier entries that were asked for are left out, because there are too many for one page; `
      + `the lanes begin as the runs were after position ${number(range.after)}.`);
  }
  byId('notes').replaceChildren(...notes.map((note) => element('p', { className: 'note' }, note)));
}

function fillTallies() {
  const crashes = sessions.list.filter(({ ended }) => ended === 'crashed').length + sessions.crashedBefore;
  const snapshots = runs.reduce((sum, run) => sum + run.snapshots.length, 0);
  const refused = runs.reduce((sum, run) => sum + run.refused, 0);
  const tallies = [['runs', runs.length], ['entries', entries.count], ['refused', refused, 'refused'], ['snapshots', snapshots, 'snapshot'],
    ['crashes', crashes, 'failed']];
  byId('tallies').replaceChildren(...tallies.map(([name, count, look]) => element('div', {},
    element('dd', { className: count && look ? `t-${look}` : '' }, number(count)), element('dt', {}, name))));
}

function fillLooks() {
  const counts = {};
  for (const run of runs) counts[run.look] = (counts[run.look] ?? 0) + 1;
  const met = LOOKS.filter(({ key }) => counts[key]);
  byId('looks').replaceChildren(...met.map(({ key, name }) => {
    const chip = element('button', { type: 'button', className: 'chip' }, glyph(key), element('span', {}, name),
      element('span', { className: 'number' }, number(counts[key])));
    chip.dataset.look = key;
    chip.addEventListener('click', () => {
      const looks = new Set(view.looks);
      if (!looks.delete(key)) looks.add(key);
      changeFilter({ looks });
    });
    return chip;
  }));
}

function fillLegend() {
  const items = [['bar started', 'started'], ['bar waiting', 'waits'], ['glyph good', 'exited, code 0'], ['glyph bad', 'exited, not 0'],
    ['glyph unknown', 'exit unknown'], ['glyph failed', 'failed, or crash of the supervisor'], ['glyph destroyed', 'destroyed'],
    ['glyph refused', 'refused report, with how many'], ['line armed', 'snapshot armed'], ['line taken', 'dispatched'], ['line canceled', 'canceled'],
    ['bar crash', 'nobody wrote: crashed'], ['bar closed', 'nobody wrote: closed']];
  byId('legend').replaceChildren(...items.map(([look, name]) => element('li', {}, element('i', { className: look }), name)));
}

function paintControls() {
  byId('query').value = byId('query').value === view.query ? view.query : (byId('query').value = view.query);
  byId('refused').checked = view.refused;
  byId('inview').checked = view.inView;
  byId('sort').value = view.sort;
  byId('size').value = view.size;
  for (const chip of byId('looks').children) chip.setAttribute('aria-pressed', String(view.looks.has(chip.dataset.look)));
  byId('range').textContent = `${rangeWords(view.from, view.to)} · ${span(Math.round(view.to - view.from))}`;
  byId('most').textContent = binned ? `${number(binned.most)} open at most` : '';
  byId('zoom-all').disabled = isWhole();
  byId('zoom-out').disabled = isWhole();
}

function clearFilter() {
  changeFilter({ query: '', looks: new Set(), refused: false, inView: false });
}

function resize(size) {
  // What was at the top stays there.
  const top = scroller.scrollTop / rowHeight();
  changeFilter({ size });
  extent.style.height = `${view.rows.length * rowHeight()}px`;
  scroller.scrollTop = top * rowHeight();
}

// The share of the width of a canvas that is under the pointer.
const shareOf = (canvas, event) => {
  const box = canvas.getBoundingClientRect();
  return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
};

function wheelZooms(canvas, always) {
  canvas.addEventListener('wheel', (event) => {
    const aside = Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey;
    if (aside) pan(Math.sign(event.deltaX || event.deltaY) * Math.min(0.2, Math.abs(event.deltaX || event.deltaY) / 900));
    else if (always || event.ctrlKey || event.metaKey) zoom(Math.exp(Math.max(-1, Math.min(1, event.deltaY / 280))), shareOf(canvas, event));
    else return;
    event.preventDefault();
  }, { passive: false });
}

// A drag chooses a time; a press without one is a click.
function dragChooses(target, canvas, range, click) {
  target.addEventListener('pointerdown', (event) => {
    if (event.button !== 0 || event.target.closest('button')) return;
    const begin = shareOf(canvas, event);
    const beganAt = event.clientX;
    let dragged = false;
    target.setPointerCapture(event.pointerId);
    const move = (moved) => {
      dragged ||= Math.abs(moved.clientX - beganAt) > 4;
      if (dragged) range(begin, shareOf(canvas, moved), false);
    };
    const up = (ended) => {
      target.removeEventListener('pointermove', move);
      target.removeEventListener('pointerup', up);
      target.removeEventListener('pointercancel', up);
      brush.hidden = true;
      if (ended.type === 'pointercancel') return;
      if (dragged) range(begin, shareOf(canvas, ended), true);
      else click(ended);
    };
    target.addEventListener('pointermove', move);
    target.addEventListener('pointerup', up);
    target.addEventListener('pointercancel', up);
  });
}

function chooseInLanes(one, other, done) {
  const [from, to] = [Math.min(one, other), Math.max(one, other)];
  if (!done) {
    brush.hidden = false;
    brush.style.left = `${lanes.offsetLeft + from * lanes.clientWidth}px`;
    brush.style.width = `${(to - from) * lanes.clientWidth}px`;
    return;
  }
  const length = view.to - view.from;
  setRange(view.from + from * length, view.from + to * length);
}

function chooseInWhole(one, other) {
  const length = whole.to - whole.from;
  setRange(whole.from + Math.min(one, other) * length, whole.from + Math.max(one, other) * length);
}

function clickLanes(event) {
  const box = lanes.getBoundingClientRect();
  const found = entryAt(event.clientX - box.left, event.clientY - box.top);
  rowList.focus({ preventScroll: true });
  tip.hidden = true;
  if (found) select(found.run, event.clientX < box.left ? found.run.entries.at(-1) ?? null : found.entry);
}

function showTip(event) {
  const box = lanes.getBoundingClientRect();
  const found = event.clientX >= box.left ? entryAt(event.clientX - box.left, event.clientY - box.top) : null;
  view.hover = event.clientX >= box.left ? view.from + shareOf(lanes, event) * (view.to - view.from) : null;
  tip.hidden = !found || event.buttons > 0;
  if (found) {
    const { run, entry, isNear } = found;
    tip.replaceChildren(element('b', {}, run.title), entry === null ? '' : element('span', { className: 'when' },
      `${isNear ? '' : 'since '}${clock(entries.time[entry], 1000)} · position ${number(entries.position[entry])}`),
      entry === null ? '' : element('span', {}, isRefused(entry) ? glyph('refused') : '', brief(entry)));
    placeTip(event);
  }
  repaint();
}

function placeTip(event) {
  const [wide, high] = [tip.offsetWidth, tip.offsetHeight];
  tip.style.left = `${Math.max(8, Math.min(event.clientX + 14, innerWidth - wide - 8))}px`;
  tip.style.top = `${event.clientY + 18 + high > innerHeight ? event.clientY - high - 12 : event.clientY + 18}px`;
}

function hideTip() {
  tip.hidden = true;
  view.hover = null;
  repaint();
}

// The next run in the list, or the next entry of the run.
function step(rows, along) {
  if (!view.rows.length) return;
  if (rows) {
    const place = view.run ? view.rows.indexOf(view.run) : -1;
    const run = view.rows[Math.max(0, Math.min(view.rows.length - 1, place < 0 ? (rows > 0 ? 0 : view.rows.length - 1) : place + rows))];
    select(run, run.entries.at(-1) ?? null);
    bringIntoSight(run);
  } else if (view.run?.entries.length) {
    const of = view.run.entries;
    const place = view.entry === null ? (along > 0 ? -1 : of.length) : of.indexOf(view.entry);
    selectEntry(of[Math.max(0, Math.min(of.length - 1, place + along))]);
  }
}

function nextRefused(along) {
  const shown = new Set(view.rows.map((run) => run.number));
  const of = refusedEntries.filter((entry) => shown.has(entries.run[entry]));
  if (!of.length) return;
  const here = view.entry ?? (along > 0 ? -1 : Infinity);
  const found = along > 0 ? of.find((entry) => entry > here) ?? of[0] : of.findLast((entry) => entry < here) ?? of.at(-1);
  selectEntry(found);
}

const page = () => Math.max(1, Math.floor(scroller.clientHeight / rowHeight()) - 1);
const KEYS = {
  '+': () => zoom(0.5), '=': () => zoom(0.5), '-': () => zoom(2), '−': () => zoom(2), 0: () => setRange(whole.from, whole.to),
  '[': () => pan(-0.25), ']': () => pan(0.25), n: () => nextRefused(1), N: () => nextRefused(-1),
  '/': () => byId('query').focus(), Escape: () => select(null, null),
};
const LIST_KEYS = {
  ArrowDown: () => step(1, 0), ArrowUp: () => step(-1, 0), ArrowRight: () => step(0, 1), ArrowLeft: () => step(0, -1),
  PageDown: () => step(page(), 0), PageUp: () => step(-page(), 0), Home: () => step(-Infinity, 0), End: () => step(Infinity, 0),
  Enter: () => detail.focus(),
};

function listenToKeys() {
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const isField = event.target instanceof Element && event.target.matches('input[type=search], select');
    if (isField && event.key !== 'Escape') return;
    const inList = event.target === rowList || event.target === document.body;
    const does = (inList && LIST_KEYS[event.key]) || KEYS[event.key];
    if (!does) return;
    event.preventDefault();
    if (isField) event.target.blur();
    else does();
  });
}

function listen() {
  byId('query').addEventListener('input', (event) => changeFilter({ query: event.target.value }));
  byId('refused').addEventListener('change', (event) => changeFilter({ refused: event.target.checked }));
  byId('inview').addEventListener('change', (event) => changeFilter({ inView: event.target.checked }));
  byId('sort').addEventListener('change', (event) => changeFilter({ sort: event.target.value }));
  byId('size').addEventListener('change', (event) => resize(event.target.value));
  byId('zoom-in').addEventListener('click', () => zoom(0.5));
  byId('zoom-out').addEventListener('click', () => zoom(2));
  byId('zoom-all').addEventListener('click', () => setRange(whole.from, whole.to));
  byId('clear').addEventListener('click', clearFilter);
  scroller.addEventListener('scroll', repaint);
  wheelZooms(lanes, false);
  wheelZooms(rowList, false);
  wheelZooms(axis, true);
  wheelZooms(overview, true);
  dragChooses(pane, lanes, chooseInLanes, clickLanes);
  dragChooses(overview, overview, chooseInWhole, () => setRange(whole.from, whole.to));
  dragChooses(axis, axis, chooseInLanes, (event) => {
    const box = axis.getBoundingClientRect();
    const found = sessionAt(event.clientX - box.left, event.clientY - box.top);
    if (found && found.entry !== null) select(null, found.entry);
  });
  pane.addEventListener('pointermove', showTip);
  pane.addEventListener('pointerleave', hideTip);
  addEventListener('hashchange', recall);
  addEventListener('resize', repaint);
  new ResizeObserver(repaint).observe(scroller);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
    readColors();
    repaint();
  });
  listenToKeys();
}

painters.push(paintControls);
readColors();
fillFacts();
fillTallies();
fillLooks();
fillLegend();
listen();
recall();
repaint();

// For scripts and tests: what is looked at, and where an entry is drawn. Nothing can be changed through it.
window.tachograph = Object.freeze({
  view: () => ({ from: view.from, to: view.to, rows: view.rows.length, drawn: view.drawn, run: view.run?.id ?? null,
    at: view.entry === null ? null : entries.position[view.entry] }),
  place: (position) => (whole.entryAt.has(position) ? placeOf(whole.entryAt.get(position)) : null),
});
