// The journal's entries as they came with the page, and what follows from them for drawing.
const data = JSON.parse(document.getElementById('data').textContent);
const EVENT = Object.fromEntries(data.events.map((name, number) => [name, number]));
const COMMITTED = 0, REFUSED = 1;

// How a run can look: its status, and for an exit how it is to be seen.
const LOOKS = [
  { key: 'created', name: 'Created' },
  { key: 'started', name: 'Started' },
  { key: 'waiting', name: 'Waiting' },
  { key: 'good', name: 'Exited, code 0' },
  { key: 'bad', name: 'Exited, not 0' },
  { key: 'unknown', name: 'Exited, unknown' },
  { key: 'failed', name: 'Failed' },
  { key: 'destroyed', name: 'Destroyed' },
  { key: 'never', name: 'Never created' },
];
const LOOK_NAMES = Object.fromEntries(LOOKS.map((look) => [look.key, look.name]));
const TONES = ['good', 'bad', 'unknown'];
const IS_OPEN = new Set(['created', 'started', 'waiting']);
const OF_STATUS = {
  Created: 'created', Started: 'started', Waiting: 'waiting', Failed: 'failed', Destroyed: 'destroyed',
};

// An id leaves out what it begins with like the one before it.
function ids(tails) {
  let before = '';
  return tails.map((tail) => (before = before.slice(0, 26 - tail.length) + tail));
}

function sums(deltas) {
  let sum = 0;
  return Float64Array.from(deltas, (delta) => (sum += delta));
}

const entries = {
  ...data.entries,
  position: sums(data.entries.position),
  time: sums(data.entries.time),
  id: ids(data.entries.id),
  command: ids(data.entries.command),
  expected: new Map(data.entries.expected),
  count: data.entries.body.length,
};
const idTexts = ids(data.ids);

// A text, with its own ids, times and numbers in the place of their marks.
function words(text) {
  if (typeof text === 'number') return data.strings[text];
  let next = 1;
  return data.strings[text[0]].replace(/[\u0001\u0002\u0003]/g, (mark) => {
    const own = text[next++];
    if (mark === '\u0003') return String(own);
    return mark === '\u0001' ? idTexts[own] : iso(own);
  });
}

const textOf = (number) => (number === null ? null : data.strings[number]);
const kindOf = (entry) => entries.body[entry][0];
const isRefused = (entry) => kindOf(entry) === REFUSED;
// The same refusal is recorded at its 1st, 2nd, 4th, 8th… time: each stands for those since the one before.
const weightOf = (entry) => entries.body[entry][1] - Math.floor(entries.body[entry][1] / 2);

class Run {
  constructor(number, id) {
    const { name, labels, workload, parent, created_at, before } = data.runs;
    this.number = number;
    this.id = id;
    this.name = textOf(name[number]);
    this.workload = textOf(workload[number]);
    this.parent = parent[number] === null ? null : idTexts[parent[number]];
    this.createdAt = created_at[number];
    this.labels = [];
    for (let at = 0; at < labels[number].length; at += 2) {
      this.labels.push([data.strings[labels[number][at]], data.strings[labels[number][at + 1]]]);
    }
    this.before = before[number];
    this.entries = [];
    this.segments = [];
    this.caps = [];
    this.refusals = [];
    this.snapshots = [];
    this.others = [];
    this.refused = 0;
    this.attempt = 0;
    this.look = 'never';
    this.endedAt = null;
    this.hay = null;
  }

  get title() {
    return this.name ?? (this.workload !== null ? 'no name' : this.segments.length ? 'began before' : 'never created');
  }

  // All that a filter looks at.
  fits(wanted) {
    const labels = this.labels.map(([key, value]) => `${key}=${value}`);
    this.hay ??= [this.name ?? '', this.id, ...labels, this.workload ?? ''].join('\n').toLowerCase();
    return wanted.every((word) => this.hay.includes(word));
  }

  begin(at) {
    if (!this.before) return;
    const { status, tone, attempt, armed, in_flight } = this.before;
    this.attempt = attempt;
    this.turn(OF_STATUS[data.statuses[status]] ?? TONES[tone], at, null, true);
    if (armed) this.arm(armed[0], armed[1], at, null);
    if (in_flight !== null) this.snapshots.push({ id: in_flight, from: at, fate: 'dispatched', to: at, entry: null });
  }

  // From here on it looks otherwise. Where the writer's clock stepped back, what was before lasted no time.
  turn(look, at, entry, began = false) {
    const last = this.segments.at(-1);
    if (last) last.to = Math.max(last.from, at);
    this.segments.push({ from: at, to: at, look, entry, began });
    if (!IS_OPEN.has(look) && entry !== null) this.caps.push({ at, look, entry });
    this.endedAt = IS_OPEN.has(look) ? null : this.endedAt ?? at;
    this.look = look;
  }

  arm(id, due, at, entry) {
    this.snapshots.push({ id, due, from: at, to: null, fate: 'armed', entry });
  }

  snapshot(id, fate, at) {
    const span = this.snapshots.findLast((candidate) => candidate.id === id);
    if (!span) return;
    span.fate = fate;
    if (fate === 'taken' || fate === 'failed') span.result = at;
    else span.to = Math.max(span.from, at);
  }

  take(entry) {
    const at = entries.time[entry];
    const body = entries.body[entry];
    this.entries.push(entry);
    if (body[0] === REFUSED) {
      this.refusals.push({ at, entry });
      this.refused += weightOf(entry);
      return;
    }
    for (let place = 2; place < body.length; place++) this.happened(body[place], at, entry);
  }

  happened([event, , detail, ], at, entry) {
    switch (event) {
      case EVENT.Started:
        this.attempt = detail;
        this.turn('started', at, entry);
        break;
      case EVENT.Created: case EVENT.Waiting: case EVENT.Failed: case EVENT.Destroyed:
        this.turn(OF_STATUS[data.events[event]], at, entry);
        break;
      case EVENT.Exited: case EVENT.ExitAmended:
        this.turn(TONES[detail], at, entry);
        break;
      case EVENT.SnapshotScheduled:
        this.arm(detail[0], detail[1], at, entry);
        break;
      case EVENT.SnapshotCanceled: this.snapshot(detail, 'canceled', at); break;
      case EVENT.SnapshotDispatched: this.snapshot(detail, 'dispatched', at); break;
      case EVENT.SnapshotTaken: this.snapshot(detail, 'taken', at); break;
      case EVENT.SnapshotFailed: this.snapshot(detail, 'failed', at); break;
      default: this.others.push({ at, entry });
    }
  }

  finish(until) {
    const last = this.segments.at(-1);
    if (last && IS_OPEN.has(last.look)) {
      last.to = Math.max(last.from, until);
      last.open = true;
    }
    for (const span of this.snapshots) if (span.to === null) span.to = Math.max(span.from, until);
  }

  get beganAt() {
    return this.segments[0]?.from ?? this.refusals[0]?.at ?? 0;
  }

  get lasted() {
    const last = this.segments.at(-1);
    return last ? (this.endedAt ?? last.to) - (this.createdAt ?? this.beganAt) : 0;
  }

  get finalAt() {
    return Math.max(this.segments.at(-1)?.to ?? this.beganAt, this.refusals.at(-1)?.at ?? this.beganAt);
  }
}

// The supervisor: when a writer had the journal open, and how that ended.
class Sessions {
  constructor() {
    this.list = [];
    this.entries = [];
    this.present = null;
    this.latest = null;
    // Of a writer of which only the next one tells.
    this.crashedBefore = 0;
  }

  open(at, pid, title, entry) {
    // Nobody wrote that the one before ended: it was there at its last entry, and no more at this one.
    if (this.present) this.leave('crashed', this.latest ?? at, null);
    this.present = { from: at, to: at, pid, title, ended: 'open', entry, end: null };
    this.list.push(this.present);
  }

  leave(ended, at, entry) {
    Object.assign(this.present, { ended, to: Math.max(this.present.from, at), end: entry });
    this.present = null;
  }

  take(entry) {
    const [, fact, pid, title] = entries.body[entry];
    const at = entries.time[entry];
    this.entries.push(entry);
    if (fact === 0) this.open(at, pid, words(title), entry);
    else if (fact === 1 && data.source.held && this.list.length === 1) this.crashedBefore = 1;
    else if (fact === 2 && this.present) this.leave('closed', at, entry);
  }

  // When nobody wrote: between the end of one and the beginning of the next.
  gaps() {
    return this.list.slice(1).map((next, number) => {
      const { to, ended } = this.list[number];
      return { from: to, to: Math.max(to, next.from), ended };
    });
  }
}

const runIds = ids(data.runs.id);
const runs = runIds.map((id, number) => new Run(number, id));
const runById = new Map(runs.map((run) => [run.id, run]));
const sessions = new Sessions();
const refusedEntries = [];
const whole = { from: Infinity, to: -Infinity, entryAt: new Map() };

{
  const begins = entries.count ? entries.time.reduce((least, at) => Math.min(least, at), Infinity) : data.range.until;
  for (const run of runs) run.begin(begins);
  if (data.writer_before) sessions.open(begins, data.writer_before[0], words(data.writer_before[1]), null);
  for (let entry = 0; entry < entries.count; entry++) {
    const at = entries.time[entry];
    const run = entries.run[entry];
    // Somebody wrote this, whose opening is in the part of the journal that is not held.
    if (run !== null && data.source.held && !sessions.present) sessions.open(at, null, 'its opening is not held', null);
    if (run === null) sessions.take(entry);
    else runs[run].take(entry);
    if (isRefused(entry)) refusedEntries.push(entry);
    whole.from = Math.min(whole.from, at);
    whole.to = Math.max(whole.to, at);
    whole.entryAt.set(entries.position[entry], entry);
    sessions.latest = at;
  }
  const { until } = data.range;
  whole.from = Math.min(whole.from, begins);
  whole.to = Math.max(whole.to, until, begins);
  for (const run of runs) run.finish(whole.to);
  if (sessions.present) sessions.leave(data.range.is_live ? 'open' : 'gone', whole.to, null);
  const margin = Math.max((whole.to - whole.from) * 0.012, 1000);
  whole.first = whole.from;
  whole.last = whole.to;
  whole.from -= margin;
  whole.to += margin;
}
