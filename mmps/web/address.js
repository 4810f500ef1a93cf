// The address of the page is that of the search, so that it can be loaded again and passed on.
watch('value', () => {
  const address = new URL(location.href);
  if (props.value) address.searchParams.set('search', props.value);
  else address.searchParams.delete('search');
  history.replaceState(history.state, '', address);
});
// Links within the page would lead to the address without the search, for Gradio sets a base.
document.addEventListener('click', (event) => {
  const link = event.target.closest('.ps-page a[href^="#"]');
  const target = link && document.querySelector(link.getAttribute('href'));
  if (!target) return;
  event.preventDefault();
  target.scrollIntoView();
  target.tabIndex = -1;
  target.focus({preventScroll: true});
});
