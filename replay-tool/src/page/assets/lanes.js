// The lanes: one for each run. Only those in sight are drawn, and only they have a row in the document.
const scroller = document.getElementById('scroller');
const extent = document.getElementById('extent');
const pane = document.getElementById('pane');
const lanes = document.getElementById('lanes');
const rowList = document.getElementById('rows');
const HEIGHTS = { large: 30, small: 19, tiny: 6 };
const rowHeight = () => HEIGHTS[view.size];

function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in made) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

const glyph = (look) => element('i', { className: `glyph ${look}` });

// The rows that are in sight: which is the first, how many, and how far the first is moved up.
function sight() {
  const height = rowHeight();
  const first = Math.max(0, Math.floor(scroller.scrollTop / height));
  const count = Math.min(view.rows.length - first, Math.ceil(scroller.clientHeight / height) + 1);
  return { first, count: Math.max(count, 0), top: first * height - scroller.scrollTop, height };
}

function paintRows() {
  extent.style.height = `${view.rows.length * rowHeight()}px`;
  pane.style.height = `${scroller.clientHeight}px`;
  document.documentElement.dataset.size = view.size;
  const { first, count, top, height } = sight();
  while (rowList.children.length < count) rowList.append(madeRow());
  while (rowList.children.length > count) rowList.lastChild.remove();
  for (let at = 0; at < count; at++) fillRow(rowList.children[at], view.rows[first + at], first + at);
  rowList.style.transform = `translateY(${top}px)`;
  rowList.style.setProperty('--row', `${height}px`);
  const chosen = view.run && view.rows.indexOf(view.run);
  if (chosen !== null && chosen >= first && chosen < first + count) rowList.setAttribute('aria-activedescendant', `run-${view.run.number}`);
  else rowList.removeAttribute('aria-activedescendant');
  document.getElementById('nothing').hidden = view.rows.length > 0;
  const all = runs.length;
  document.getElementById('count').textContent = view.rows.length === all ? `${number(all)} ${all === 1 ? 'run' : 'runs'}`
    : `${number(view.rows.length)} of ${number(all)} runs`;
}

const number = (value) => value.toLocaleString('en-US');

function madeRow() {
  const row = element('div', { className: 'row', role: 'option' }, glyph(''), element('span', { className: 'name' }),
    element('span', { className: 'times' }));
  return row;
}

function fillRow(row, run, place) {
  const chosen = run === view.run;
  if (row.run === run && row.place === place && row.chosen === chosen) return;
  Object.assign(row, { run, place, chosen, id: `run-${run.number}` });
  row.classList.toggle('chosen', chosen);
  row.setAttribute('aria-selected', String(chosen));
  row.setAttribute('aria-posinset', String(place + 1));
  row.setAttribute('aria-setsize', String(view.rows.length));
  const refused = run.refused ? `, ${run.refused} refused` : '';
  row.setAttribute('aria-label', `${run.title}, ${LOOK_NAMES[run.look]}, ${run.entries.length} entries${refused}`);
  const [sign, name, times] = row.children;
  sign.className = `glyph ${run.look}`;
  name.textContent = run.name ?? `${run.title} · ${run.id.slice(-6)}`;
  name.classList.toggle('nameless', run.name === null);
  times.textContent = run.refused ? `${number(run.refused)}` : '';
}

function paintLanes() {
  const { brush, width, height } = fitted(lanes);
  const x = xOf(width);
  paintGaps(brush, x, 0, height);
  for (const tick of ticksOf(view.from, view.to, width).ticks) {
    brush.fillStyle = colors.rule;
    brush.fillRect(Math.round(x(tick.at)), 0, 1, height);
  }
  const { first, count, top, height: high } = sight();
  for (let at = 0; at < count; at++) paintLane(brush, view.rows[first + at], top + at * high, high, x, width);
  paintTimes(brush, x, height);
}

// What is hovered and what is selected, as lines through all lanes.
function paintTimes(brush, x, height) {
  if (view.hover !== null) {
    brush.fillStyle = colors['rule-strong'];
    brush.fillRect(Math.round(x(view.hover)), 0, 1, height);
  }
  if (view.entry !== null) {
    brush.fillStyle = colors.accent;
    brush.globalAlpha = 0.55;
    brush.fillRect(Math.round(x(entries.time[view.entry])), 0, 1, height);
    brush.globalAlpha = 1;
  }
}

function paintLane(brush, run, top, height, x, width) {
  if (run === view.run) {
    brush.fillStyle = colors.tint;
    brush.fillRect(0, top, width, height);
  }
  if (height > 10) {
    brush.fillStyle = colors.rule;
    brush.fillRect(0, top + height - 1, width, 1);
  }
  const y = middle(top, height);
  run.segments.forEach((segment, at) => {
    const next = run.segments[at + 1];
    const to = IS_OPEN.has(segment.look) ? segment.to : next?.from ?? segment.from;
    const [left, right] = [Math.max(x(segment.from), -6), Math.min(x(to), width + 6)];
    if (right < 0 || left > width) return;
    bar(brush, segment.look, left, y, Math.max(right - left, IS_OPEN.has(segment.look) ? 2 : 0), height);
  });
  paintMarks(brush, run, top, height, x, width);
}

const middle = (top, height) => top + Math.round(height * (height > 10 ? 0.52 : 0.5));
const radius = (height) => Math.max(1.6, Math.min(5, height * 0.17));

function paintMarks(brush, run, top, height, x, width) {
  const y = middle(top, height);
  const within = (at) => at > -8 && at < width + 8;
  const size = radius(height);
  if (height > 10) {
    for (const { from, to, fate } of run.snapshots) {
      if (x(to) < -8 || x(from) > width + 8) continue;
      snapshotLine(brush, Math.max(x(from), -8), Math.min(x(to), width + 8), top + height - 4.5, fate, 2);
    }
  }
  for (const { at } of run.others) {
    if (!within(x(at))) continue;
    brush.beginPath();
    brush.arc(x(at), y, Math.max(size * 0.5, 1), 0, 2 * Math.PI);
    brush.fillStyle = colors.ink;
    brush.fill();
  }
  for (const { at, look } of run.caps) if (within(x(at))) mark(brush, look, x(at), y, size);
  paintRefusals(brush, run, top, height, x, width);
  if (run === view.run && view.entry !== null && entries.run[view.entry] === run.number) {
    brush.beginPath();
    brush.arc(x(entries.time[view.entry]), isRefused(view.entry) ? refusedY(top, height) : y, size + 4, 0, 2 * Math.PI);
    brush.lineWidth = 2;
    brush.strokeStyle = colors.accent;
    brush.stroke();
  }
}

const refusedY = (top, height) => top + (height > 10 ? Math.max(4, height * 0.2) : height / 2);

// Refusals that lie in one place are one mark, with how many there were.
function paintRefusals(brush, run, top, height, x, width) {
  const size = height > 10 ? radius(height) : 2;
  const y = refusedY(top, height);
  for (const group of groups(run, x, width)) {
    mark(brush, 'refused', group.x, y, size);
    if (group.count > 1 && height > 16) {
      brush.font = '600 10px system-ui, sans-serif';
      brush.textAlign = 'left';
      brush.fillStyle = colors.refused;
      brush.fillText(number(group.count), group.x + size + 3, y + 3.5);
    }
  }
}

function groups(run, x, width) {
  const found = [];
  for (const { at, entry } of run.refusals) {
    const place = x(at);
    if (place < -8 || place > width + 8) continue;
    const last = found.at(-1);
    if (last && Math.abs(place - last.end) < 9) {
      last.end = place;
      last.count += weightOf(entry);
    } else found.push({ x: place, end: place, count: weightOf(entry), entry });
  }
  return found;
}

// The run and the entry under a place of the lanes: the nearest one, else the one that led to what is seen there.
function entryAt(px, py) {
  const { first, top, height } = sight();
  const run = view.rows[first + Math.floor((py - top) / height)];
  if (!run) return null;
  const x = xOf(lanes.clientWidth);
  const low = ((py - top) % height) / height;
  let [nearest, best] = [null, 9];
  let before = null;
  for (const entry of run.entries) {
    const place = x(entries.time[entry]);
    // Refusals are drawn above the bar: of two that are as near, what is under the pointer is meant.
    const away = Math.abs(place - px) + (isRefused(entry) === low < 0.4 ? 0 : 2);
    if (away < best) [nearest, best] = [entry, away];
    if (place <= px && !isRefused(entry)) before = entry;
  }
  return { run, entry: nearest ?? before, isNear: nearest !== null };
}

function bringIntoSight(run) {
  const place = view.rows.indexOf(run);
  if (place < 0) return;
  const [height, top] = [rowHeight(), place * rowHeight()];
  if (top < scroller.scrollTop) scroller.scrollTop = top;
  else if (top + height > scroller.scrollTop + scroller.clientHeight) scroller.scrollTop = top + height - scroller.clientHeight;
}

// Where an entry is drawn, in the coordinates of the page: for scripts and tests.
function placeOf(entry) {
  const run = runs[entries.run[entry]];
  const row = run ? view.rows.indexOf(run) : -1;
  if (row < 0) return null;
  const [box, height] = [lanes.getBoundingClientRect(), rowHeight()];
  const top = row * height - scroller.scrollTop;
  const y = isRefused(entry) ? refusedY(top, height) : middle(top, height);
  return { x: box.left + xOf(lanes.clientWidth)(entries.time[entry]), y: box.top + y };
}

painters.push(paintRows, paintLanes);
