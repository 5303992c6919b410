// Shows the values under the pointer. The page says everything without it.
(() => {
  const charts = document.querySelector('.charts');
  if (!charts) return;
  const columns = Number(charts.dataset.columns);
  const width = Number(charts.dataset.width);
  const span = Number(charts.dataset.span);
  const areas = [...charts.querySelectorAll('.area')];
  const crosses = areas.map((area) => {
    const cross = document.createElement('i');
    cross.className = 'cross';
    cross.hidden = true;
    area.append(cross);
    return cross;
  });
  const lines = [...charts.querySelectorAll('li[data-values]')].map((item) => ({
    output: item.querySelector('output'),
    unit: item.dataset.unit,
    values: item.dataset.values.split(' '),
  }));
  const written = (value) => Number(value).toLocaleString('da-DK', { maximumFractionDigits: 2 });
  const clock = document.createElement('output');
  charts.querySelector('.strip .across').append(clock);
  const said = (seconds) => [seconds / 3600, (seconds / 60) % 60, seconds % 60]
    .map((part) => String(Math.floor(part)).padStart(2, '0'))
    .join(':')
    .replace(/^00:/, '');
  const show = (column) => {
    clock.hidden = column === null;
    if (column !== null) {
      clock.textContent = said(column * width);
      clock.style.left = `${Math.min(((column + 0.5) * width) / span, 1) * 100}%`;
    }
    crosses.forEach((cross) => {
      cross.hidden = column === null;
      if (column !== null) cross.style.left = `${Math.min(((column + 0.5) * width) / span, 1) * 100}%`;
    });
    lines.forEach(({ output, unit, values }) => {
      const value = column === null ? '' : values[column];
      output.textContent = column === null ? '' : value === '' || value === undefined ? '–' : `${written(value)} ${unit}`;
    });
  };
  charts.addEventListener('pointermove', (event) => {
    const area = event.target.closest('.area');
    if (!area) return show(null);
    const box = area.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * span;
    show(Math.max(0, Math.min(columns - 1, Math.floor(at / width))));
  });
  charts.addEventListener('pointerleave', () => show(null));
})();
