// A timeline by mouse and keyboard: shows who is clicked, also in the list of hits, and tells the
// server of a time that is chosen.
let rows = [], current = null;
const plot = () => element.querySelector('.ps-plot');
const number = (bar, name) => parseFloat(bar.getAttribute(name));
const find = (name, value) => {
  const bar = element.querySelector(`.ps-plot [data-${name}="${value}"]`);
  return rows.flatMap(({bars}) => bars).find((one) => one.bar === bar) ?? null;
};
const read = () => {  // every bar with its place in per cent across and pixels down, by rows
  const {id} = current?.bar.dataset ?? {};
  let top = 0;
  rows = [...element.querySelectorAll('.ps-plot g')].map((group, row) => {
    const bars = [...group.querySelectorAll('[data-id]')].map((bar) => {
      const [left, wide, y, high] = ['x', 'width', 'y', 'height'].map((name) => number(bar, name));
      return {bar, row, left, wide, top: top + y, high};
    }).sort((a, b) => a.left - b.left);
    top += Number(group.dataset.height);
    return {bars, bottom: top};
  });
  current = find('id', id);
  if (current) point();
  requestAnimationFrame(mark);  // the list changes with it
};
const card = () => {
  const {rank} = current?.bar.dataset ?? {};
  return rank ? document.querySelector(`#results [data-rank="${rank}"]`) : null;
};
const mark = () => {
  document.querySelector('#results [aria-current]')?.removeAttribute('aria-current');
  card()?.setAttribute('aria-current', 'true');
};
const point = () => {
  element.querySelector('.ps-cursor')?.remove();
  const cursor = current.bar.cloneNode();
  cursor.setAttribute('class', 'ps-cursor');
  for (const name of ['id', 'rank']) delete cursor.dataset[name];
  current.bar.parentNode.append(cursor);
};
const say = (one) => {
  const {s, t} = one.bar.dataset, status = element.querySelector('[role=status]');
  status.textContent = `${one.bar.parentNode.dataset.name}, ${t}, similarity ${s}`;
  if (one !== current || !card()) return;
  const link = document.createElement('button');
  Object.assign(link, {type: 'button', className: 'ps-link', textContent: 'in the list'});
  link.dataset.card = '';
  status.append(', ', link);
};
const pick = (one) => {
  current = one;
  point();
  say(one);
  mark();
};
const go = (one) => {
  pick(one);
  if (beside()) card()?.scrollIntoView({block: 'nearest'});
};
const beside = () => {  // whether the list stands beside it, so that both can be in sight
  const list = document.querySelector('#results').getBoundingClientRect();
  return list.left >= element.getBoundingClientRect().right;
};
const show = ({bar}) => trigger('open', {id: bar.dataset.id});
// The bar of a row that is nearest to a place in per cent across, or also in pixels down; of two
// the narrower. And how many pixels it is away.
const nearest = (row, x, y) => {
  const scale = plot().clientWidth / 100;
  let best = null, least = Infinity;
  for (const one of rows[row]?.bars ?? []) {
    const across = scale * Math.max(one.left - x, x - one.left - one.wide, 0);
    const down = y === undefined ? 0 : Math.max(one.top - y, y - one.top - one.high, 0);
    const away = Math.hypot(across, down);
    if (away < least || (away === least && one.wide < best.wide)) [best, least] = [one, away];
  }
  return [best, least];
};
const at = (event) => {
  const area = plot().getBoundingClientRect(), y = event.clientY - area.top;
  const share = Math.min(1, Math.max(0, (event.clientX - area.left) / area.width));
  const row = rows.findIndex(({bottom}) => y < bottom);
  const [one, away] = nearest(row, 100 * share, y);
  return {share, one: away <= 8 ? one : null};
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
  const {share: from, one} = at(event), range = area.querySelector('.ps-range');
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
    else if (one) { go(one); show(one); }
  };
  area.addEventListener('pointermove', move);
  area.addEventListener('pointerup', up);
  area.addEventListener('pointercancel', cancel);
  area.setPointerCapture(event.pointerId);
});
element.addEventListener('pointermove', (event) => {
  if (event.buttons || !event.target.closest('.ps-plot')) return;
  const {one} = at(event);
  if (one) say(one);
});
element.addEventListener('pointerout', (event) => {
  if (current && !event.relatedTarget?.closest?.('.ps-plot')) say(current);
});
element.addEventListener('keydown', (event) => {
  if (!event.target.matches('.ps-plot')) return;
  const row = rows[current?.row ?? 0].bars, place = row.indexOf(current);
  const way = {ArrowUp: -1, ArrowDown: 1, ArrowLeft: -1, ArrowRight: 1}[event.key];
  let next = null;
  if (event.key === 'Enter' && current) show(current);
  else if (event.key === 'Home') next = row[0];
  else if (event.key === 'End') next = row.at(-1);
  else if (!way) return;
  else if (!current) next = row[0];
  else if (/Up|Down/.test(event.key)) {
    [next] = nearest(current.row + way, current.left + current.wide / 2);
  } else next = row[place + way];
  event.preventDefault();
  if (next) go(next);
});
element.addEventListener('click', (event) => {
  const {range, card: listed} = event.target.closest('button')?.dataset ?? {};
  if (listed !== undefined) {
    card().scrollIntoView({block: 'center'});
    card().querySelector('button').focus({preventScroll: true});
  }
  if (!range) return;
  const [from, to] = shown();
  if (range === 'all') choose(null, null);
  else if (!current) element.querySelector('[role=status]').textContent = 'Choose an appearance first.';
  else if (range === 'since') choose(current.left / 100, to);
  else choose(from, (current.left + current.wide) / 100);
});
for (const name of ['click', 'focusin']) {  // a hit of the list is chosen
  document.addEventListener(name, (event) => {
    // while the mouse is down nothing may move, or the click would be lost
    if (name === 'focusin' && !event.target.matches(':focus-visible')) return;
    const {rank} = event.target.closest('#results .ps-hit')?.dataset ?? {};
    if (!rank || rank === current?.bar.dataset.rank) return;
    const one = find('rank', rank);
    if (!one) return;
    pick(one);
    if (beside()) one.bar.scrollIntoView({block: 'nearest'});
  });
}
watch('value', read);
