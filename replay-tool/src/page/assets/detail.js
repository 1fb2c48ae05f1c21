// What is selected, in words: a run with its history, and an entry with all that was recorded.
const detail = document.getElementById('detail');
const HISTORY_MAX = 400;

function showDetail() {
  const { run, entry } = view;
  document.documentElement.classList.toggle('with-detail', Boolean(run) || entry !== null);
  const of = run ? run.entries : sessions.entries;
  if (detail.shows !== run) detail.scrollTop = 0;
  detail.shows = run;
  const parts = !run && entry === null ? [] : [closing(), run ? aboutRun(run) : aboutJournal(),
    entry === null ? null : card(entry, of), history_(of, entry)];
  detail.replaceChildren(...parts.filter(Boolean));
  const list = detail.querySelector('.history');
  const chosen = list?.querySelector('.chosen');
  if (chosen) list.scrollTop = chosen.offsetTop - list.clientHeight / 2;
}

function closing() {
  const close = element('button', { type: 'button', className: 'close', title: 'Close (Esc)' }, '×');
  close.setAttribute('aria-label', 'Close');
  close.addEventListener('click', () => select(null, null));
  return close;
}

function facts(pairs) {
  const list = element('dl', { className: 'facts' });
  for (const [name, value] of pairs) {
    if (value === null || value === undefined || value === '') continue;
    list.append(element('dt', {}, name), element('dd', {}, value));
  }
  return list;
}

const code = (text) => element('code', {}, text);

function aboutRun(run) {
  const state = element('p', { className: 'state' }, glyph(run.look), LOOK_NAMES[run.look]);
  const last = run.segments.at(-1);
  if (last?.open) state.append(data.range.is_live ? ', under way' : ', its end is not recorded here');
  const labels = run.labels.map(([key, value]) => element('span', { className: 'label' }, `${key}=${value}`));
  const parent = run.parent && (runById.has(run.parent) ? toRun(runById.get(run.parent)) : code(run.parent));
  return element('section', {}, element('h2', {}, run.title), state, facts([
    ['Run', code(run.id)],
    ['Command', run.workload === null ? null : code(run.workload)],
    ['Labels', labels.length ? element('span', { className: 'labels' }, ...labels) : null],
    ['Made from', parent],
    ['Created', run.createdAt === null ? null : iso(run.createdAt)],
    ['Lasted', run.segments.length ? span(run.lasted) : null],
    ['Attempts', run.attempt ? String(run.attempt) : null],
    ['Refused', run.refused ? `${number(run.refused)} ${run.refused === 1 ? 'report' : 'reports'}` : null],
    ['More', code(`tacho timeline ${run.id}`)],
  ]));
}

function toRun(run) {
  const button = element('button', { type: 'button', className: 'link' }, run.title);
  button.addEventListener('click', () => {
    select(run, run.entries[0] ?? null);
    bringIntoSight(run);
  });
  return button;
}

function aboutJournal() {
  return element('section', {}, element('h2', {}, 'The journal and its writers'),
    element('p', { className: 'state' }, 'Who opened and closed it. Between two of them nobody recorded anything.'));
}

// One entry with all that was recorded.
function card(entry, of) {
  const refused = isRefused(entry);
  const kind = refused ? 'Refused' : kindOf(entry) === COMMITTED ? 'Committed' : 'Journal';
  const head = element('header', {}, element('h3', {}, `Position ${number(entries.position[entry])}`),
    element('span', { className: `kind ${kind.toLowerCase()}` }, kind), steps(entry, of));
  return element('section', { className: refused ? 'card refused' : 'card' }, head, ...happenings(entry), facts([
    ['Recorded', iso(entries.time[entry])],
    ['Actor', entries.actor[entry] === null ? null : words(entries.actor[entry])],
    ['Command', entries.action[entry] === null ? null : element('span', {}, data.strings[entries.action[entry]], ' ', code(entries.command[entry]))],
    ['Issued', entries.action[entry] === null ? null : issued(entry)],
    ['Attempt', entries.attempt[entry] === null ? null : code(idTexts[entries.attempt[entry]])],
    ['Expected', entries.expected.has(entry) ? `version ${entries.expected.get(entry)}` : null],
    ['Version', kindOf(entry) === COMMITTED ? String(entries.body[entry][1]) : null],
    ['Entry', code(entries.id[entry])],
  ]));
}

function issued(entry) {
  const before = entries.issued_before[entry];
  return before === 0 ? 'just then' : `${span(Math.abs(before))} ${before > 0 ? 'before' : 'after, by its own clock'}`;
}

function happenings(entry) {
  const body = entries.body[entry];
  if (body[0] === REFUSED) return refusal(body);
  if (body[0] !== COMMITTED) return [element('p', { className: 'event' }, words(body[3]))];
  return body.slice(2).flatMap(([event, text, notes]) => {
    const line = element('p', { className: 'event' }, element('b', {}, data.events[event]), words(text));
    if (event !== EVENT.Failed || !notes) return [line];
    return [line, facts(notes.map(([name, value]) => [data.strings[name], data.strings[value]]))];
  });
}

function refusal([, count, asked, reason, message, remedy]) {
  return [
    element('p', { className: 'event' }, element('b', {}, 'Asked'), words(asked)),
    element('p', { className: 'event' }, element('b', {}, 'Why not'), `${words(message)} `, code(data.strings[reason])),
    element('p', { className: 'event' }, element('b', {}, 'Remedy'), data.strings[remedy]),
    count > 1 ? element('p', { className: 'event' }, element('b', {}, 'Times'), `refused like this ${number(count)} times by then`) : '',
  ];
}

// To the entry before and the one after it.
function steps(entry, of) {
  const place = of.indexOf(entry);
  const step = (to, sign, name) => {
    const button = element('button', { type: 'button', title: name, disabled: to === undefined }, sign);
    button.setAttribute('aria-label', name);
    button.addEventListener('click', () => selectEntry(to));
    return button;
  };
  return element('span', { className: 'steps' }, step(of[place - 1], '←', 'Previous entry (←)'),
    element('span', { className: 'place' }, `${number(place + 1)} of ${number(of.length)}`),
    step(of[place + 1], '→', 'Next entry (→)'));
}

function brief(entry) {
  const body = entries.body[entry];
  if (body[0] === REFUSED) return words(body[2]);
  return body[0] === COMMITTED ? body.slice(2).map(([, text]) => words(text)).join('; ') : words(body[3]);
}

// All entries, or those around the selected one.
function history_(of, entry) {
  const place = Math.max(0, of.indexOf(entry));
  const first = Math.max(0, Math.min(place - HISTORY_MAX / 2, of.length - HISTORY_MAX));
  const shown = of.slice(first, first + HISTORY_MAX);
  const list = element('ol', { className: 'history' });
  const more = (count, where) => (count > 0 ? element('p', { className: 'more' }, `${number(count)} more ${where}`) : null);
  shown.forEach((one, at) => list.append(historyItem(one, of[first + at - 1], entry)));
  return element('section', {}, element('h3', {}, 'History'), more(first, 'before'), list, more(of.length - first - shown.length, 'after'));
}

function historyItem(one, before, entry) {
  const delta = before === undefined ? clock(entries.time[one], 1000) : `+${span(entries.time[one] - entries.time[before])}`;
  const button = element('button', { type: 'button' }, element('span', { className: 'when' }, delta.replace('+−', '−')),
    element('span', {}, isRefused(one) ? glyph('refused') : '', brief(one)));
  button.title = iso(entries.time[one]);
  button.addEventListener('click', () => selectEntry(one));
  const item = element('li', { className: one === entry ? 'chosen' : '' }, button);
  if (one === entry) button.setAttribute('aria-current', 'true');
  return item;
}
