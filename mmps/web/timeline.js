// A timeline by mouse and keyboard: shows who is clicked, and tells the server of a time that is chosen.
let rows = [], current = null;
const plot = () => element.querySelector('.ps-plot');
const number = (bar, name) => parseFloat(bar.getAttribute(name));
const middle = (bar) => number(bar, 'x') + number(bar, 'width') / 2;
const read = () => {
  current = null;
  rows = [...element.querySelectorAll('.ps-plot g')].map((group) => ({
    name: group.dataset.name,
    bars: [...group.children].sort((a, b) => number(a, 'x') - number(b, 'x')),
  }));
};
const say = (bar) => {
  const {s, t} = bar.dataset, status = element.querySelector('[role=status]');
  status.textContent = `${bar.parentNode.dataset.name}, ${t}, similarity ${s}`;
};
const go = (bar) => {
  current = bar;
  element.querySelector('.ps-cursor')?.remove();
  const cursor = bar.cloneNode();
  cursor.setAttribute('class', 'ps-cursor');
  bar.parentNode.append(cursor);
  say(bar);
};
const show = (bar) => trigger('open', {id: bar.dataset.id});
// The bar of a row that is nearest to a place in per cent across.
const nearest = (row, x) => {
  let best = null, least = Infinity;
  for (const bar of row.bars) {
    const left = number(bar, 'x'), away = Math.max(left - x, x - left - number(bar, 'width'), 0);
    if (away < least || (away === least && number(bar, 'width') < number(best, 'width'))) {
      [best, least] = [bar, away];
    }
  }
  return [best, least];
};
const at = (event) => {
  const area = plot().getBoundingClientRect();
  const share = Math.min(1, Math.max(0, (event.clientX - area.left) / area.width));
  const row = rows[Math.floor((event.clientY - area.top) / area.height * rows.length)];
  const [bar, away] = row?.bars.length ? nearest(row, 100 * share) : [null, Infinity];
  return {share, bar: away / 100 * area.width <= 8 ? bar : null};
};
const timeAt = (share) => {
  const {begin, end} = plot().dataset;
  return Number(begin) + share * (Number(end) - Number(begin));
};
const draw = (range, from, to) => {
  range.hidden = false;
  range.style.left = `${100 * Math.min(from, to)}%`;
  range.style.width = `${100 * Math.abs(to - from)}%`;
};
const shown = () => {  // begin and end of the range as shares; null: not restricted there
  const range = element.querySelector('.ps-range');
  if (!range || range.hidden) return [null, null];
  const left = parseFloat(range.style.left) / 100, wide = parseFloat(range.style.width) / 100;
  return [left > 0 ? left : null, left + wide < .9999 ? left + wide : null];
};
const choose = (from, to) => trigger('range', {
  since: from === null ? null : Math.floor(10 * timeAt(from)) / 10,
  until: to === null ? null : Math.floor(10 * timeAt(to) + 1) / 10,  // what ends there is in it
});
element.addEventListener('pointerdown', (event) => {
  const area = event.target.closest('.ps-plot');
  if (!area || event.button) return;
  const {share: from, bar} = at(event), range = area.querySelector('.ps-range');
  const was = range.cloneNode();
  const wide = (e) => Math.abs(at(e).share - from) * area.clientWidth > 6;
  const dated = area.dataset.calendar === '1';
  const move = (e) => dated && wide(e) && draw(range, from, at(e).share);
  const stop = () => {
    area.removeEventListener('pointermove', move);
    area.removeEventListener('pointerup', up);
    area.removeEventListener('pointercancel', cancel);
  };
  const cancel = () => { stop(); range.replaceWith(was); };
  const up = (e) => {
    const to = at(e).share, dragged = dated && wide(e);
    stop();
    if (dragged) choose(Math.min(from, to), Math.max(from, to));
    else if (bar) { go(bar); show(bar); }
  };
  area.addEventListener('pointermove', move);
  area.addEventListener('pointerup', up);
  area.addEventListener('pointercancel', cancel);
  area.setPointerCapture(event.pointerId);
});
element.addEventListener('pointermove', (event) => {
  if (event.buttons || !event.target.closest('.ps-plot')) return;
  const {bar} = at(event);
  if (bar) say(bar);
});
element.addEventListener('keydown', (event) => {
  if (!event.target.matches('.ps-plot')) return;
  const row = current && rows.findIndex((each) => each.bars.includes(current));
  const place = current && rows[row].bars.indexOf(current);
  const way = {ArrowUp: -1, ArrowDown: 1, ArrowLeft: -1, ArrowRight: 1}[event.key];
  let next = null;
  if (event.key === 'Enter' && current) show(current);
  else if (event.key === 'Home') next = rows[row ?? 0].bars[0];
  else if (event.key === 'End') next = rows[row ?? 0].bars.at(-1);
  else if (!way) return;
  else if (!current) next = rows[0].bars[0];
  else if (event.key.match(/Up|Down/)) next = rows[row + way] && nearest(rows[row + way], middle(current))[0];
  else next = rows[row].bars[place + way];
  event.preventDefault();
  if (next) go(next);
});
element.addEventListener('click', (event) => {
  const {range} = event.target.closest('button')?.dataset ?? {};
  if (!range) return;
  const [from, to] = shown();
  if (range === 'all') choose(null, null);
  else if (!current) element.querySelector('[role=status]').textContent = 'Choose an appearance first.';
  else if (range === 'since') choose(number(current, 'x') / 100, to);
  else choose(from, (number(current, 'x') + number(current, 'width')) / 100);
});
watch('value', read);
