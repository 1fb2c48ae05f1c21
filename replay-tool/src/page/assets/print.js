// The printed page: no controls; each run with its lane in a table whose head, with the axis, stands on every sheet.
const sheet = document.getElementById('print');
const PRINTED_RUNS_MAX = 400, PRINTED_REFUSALS_MAX = 400, LANE_WIDTH = 560, LANE_HEIGHT = 20;
const SVG = 'http://www.w3.org/2000/svg';

function drawn(name, attributes, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function preparePrint() {
  const shown = view.rows.slice(0, PRINTED_RUNS_MAX);
  const fitting = new Set(view.rows.map((run) => run.number));
  const refused = refusedEntries.filter((entry) => {
    const at = entries.time[entry];
    return at >= view.from && at <= view.to && fitting.has(entries.run[entry]);
  });
  sheet.replaceChildren(...[
    element('h1', {}, 'Tachograph report'),
    element('p', {}, document.getElementById('facts').textContent),
    ...[...document.querySelectorAll('#notes p')].map((note) => element('p', { className: 'note' }, note.textContent)),
    element('p', {}, `${rangeWords(view.from, view.to)}${filterWords()}`),
    document.getElementById('legend').cloneNode(true),
    printedRuns(shown),
    shown.length < view.rows.length ? element('p', {}, `The first ${number(shown.length)} of ${number(view.rows.length)} runs; filter or sort before printing for others.`) : null,
    refused.length ? element('h2', {}, 'Refused reports') : null,
    refused.length ? printedRefusals(refused.slice(0, PRINTED_REFUSALS_MAX)) : null,
    refused.length > PRINTED_REFUSALS_MAX ? element('p', {}, `The first ${number(PRINTED_REFUSALS_MAX)} of ${number(refused.length)}.`) : null,
    view.entry === null ? null : element('h2', {}, view.run ? `Selected: ${view.run.title}` : 'Selected'),
    view.entry === null ? null : card(view.entry, view.run ? view.run.entries : sessions.entries),
  ].filter(Boolean));
}

function filterWords() {
  const looks = [...view.looks].map((key) => LOOK_NAMES[key]).join(', ');
  const parts = [view.query && `with “${view.query}”`, looks, view.refused && 'with refusals'].filter(Boolean);
  return parts.length ? `; only runs ${parts.join('; ')}` : '';
}

function table(className, heads, rows) {
  const cells = (name, values) => element('tr', {}, ...values.map((value) => element(name, {}, value)));
  return element('table', { className }, element('thead', {}, cells('th', heads)),
    element('tbody', {}, ...rows.map((row) => cells('td', row))));
}

function printedRuns(shown) {
  const rows = shown.map((run) => [
    element('span', {}, element('b', {}, run.title), element('br'), code(run.id)), printedLane(run),
    element('span', {}, glyph(run.look), LOOK_NAMES[run.look]), run.createdAt === null ? '' : iso(run.createdAt).slice(0, 19).replace('T', ' '),
    run.segments.length ? span(run.lasted) : '', run.refused ? number(run.refused) : '',
  ]);
  return table('runs', ['Run', printedAxis(), 'Status', 'Created, UTC', 'Lasted', 'Refused'], rows);
}

function printedRefusals(list) {
  return table('refusals', ['Position', 'Time', 'Run', 'Actor', 'Asked', 'Why not', 'Remedy'], list.map((entry) => {
    const [, count, asked, , message, remedy] = entries.body[entry];
    return [String(entries.position[entry]), iso(entries.time[entry]), runs[entries.run[entry]].title, words(entries.actor[entry]),
      words(asked), `${words(message)}${count > 1 ? ` (${number(count)} times by then)` : ''}`, data.strings[remedy]];
  }));
}

const printedX = (at) => ((at - view.from) / (view.to - view.from) * LANE_WIDTH);

function picture(height, ...children) {
  return drawn('svg', { viewBox: `0 0 ${LANE_WIDTH} ${height}`, class: 'lane' }, ...children);
}

function printedAxis() {
  const { ticks } = ticksOf(view.from, view.to, LANE_WIDTH);
  return picture(26, ...ticks.flatMap(({ at, label, day: date }) => {
    const x = printedX(at);
    const text = x < LANE_WIDTH - 40 ? drawn('text', { x: x + 3, y: 23 }, label) : '';
    return [drawn('line', { x1: x, x2: x, y1: 12, y2: 26, class: 'tick' }), text, ...(date ? [drawn('text', { x: x + 3, y: 10 }, date)] : [])];
  }));
}

function printedLane(run) {
  const parts = ticksOf(view.from, view.to, LANE_WIDTH).ticks.map(({ at }) => drawn('line', { x1: printedX(at), x2: printedX(at), y1: 0, y2: LANE_HEIGHT, class: 'tick' }));
  for (const { from, to, ended } of sessions.gaps()) {
    const [left, right] = [Math.max(printedX(from), 0), Math.min(printedX(to), LANE_WIDTH)];
    if (ended !== 'closed' && right >= left) parts.push(drawn('rect', { x: left, y: 0, width: Math.max(right - left, 1), height: LANE_HEIGHT, class: 'gone' }));
  }
  const y = 11;
  run.segments.forEach((segment, at) => {
    const open = IS_OPEN.has(segment.look);
    const from = Math.max(printedX(segment.from), 0);
    const to = Math.min(printedX(open ? segment.to : run.segments[at + 1]?.from ?? segment.from), LANE_WIDTH);
    if (to < from) return;
    if (!open) {
      parts.push(drawn('line', { x1: from, x2: to, y1: y, y2: y, class: `tail l-${segment.look}` }));
      return;
    }
    const thick = { started: 8, waiting: 5, created: 2 }[segment.look];
    parts.push(drawn('rect', { x: from, y: y - thick / 2, width: Math.max(to - from, 1.5), height: thick, class: `f-${segment.look}` }));
  });
  for (const { from, to, fate } of run.snapshots) {
    if (from > view.to || to < view.from) continue;
    const [left, right] = [Math.max(printedX(from), 0), Math.min(printedX(to), LANE_WIDTH)];
    parts.push(drawn('line', { x1: left, x2: right, y1: 18, y2: 18, class: 's-snapshot' }));
    if (fate !== 'armed') parts.push(drawn('rect', { x: right - 1.5, y: 16.5, width: 3, height: 3, class: fate === 'canceled' ? 's-snapshot hollow' : 'f-snapshot' }));
  }
  for (const { at, look } of run.caps) parts.push(...printedMark(look, at, y, 3.6));
  for (const { at } of run.refusals) parts.push(...printedMark('refused', at, 3.5, 3.2));
  return picture(LANE_HEIGHT, ...parts);
}

function printedMark(key, at, y, radius) {
  if (at < view.from || at > view.to) return [];
  const x = printedX(at);
  if (SHAPES[key] === 'circle') return [drawn('circle', { cx: x, cy: y, r: radius, class: `f-${key}` })];
  const points = SHAPES[key].map(([dx, dy]) => `${x + dx * radius},${y + dy * radius}`).join(' ');
  return [drawn('polygon', { points, class: `f-${key}` })];
}

addEventListener('beforeprint', preparePrint);
addEventListener('afterprint', () => sheet.replaceChildren());
