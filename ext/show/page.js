/* Draw every figure of the page; again when the colours of the device change. */
(function () {
  'use strict';
  var dark = window.matchMedia('(prefers-color-scheme: dark)');
  var root = document.documentElement;

  function colours(config) {
    var style = getComputedStyle(root);
    var text = style.getPropertyValue('--text').trim(), soft = style.getPropertyValue('--soft').trim();
    var line = style.getPropertyValue('--line').trim();
    config.background = null;
    config.font = getComputedStyle(document.body).fontFamily;
    Object.assign(config.axis, {
      labelColor: text, titleColor: soft, gridColor: line, domainColor: soft, tickColor: soft, titleFontWeight: 'normal',
      labelFontSize: 12, titleFontSize: 12
    });
    Object.assign(config.legend, { labelColor: text, titleColor: soft, labelFontSize: 12 });
    config.rule.color = soft;
    if (root.clientWidth < 500) {
      config.legend.columns = 1;
      config.axis.labelLimit = 170;
      config.axis.labelFontSize = 11;
    }
    return config;
  }

  function draw(script) {
    var spec = JSON.parse(script.textContent), place = script.parentNode.querySelector('.chart');
    delete spec.title; /* the page has it as a heading */
    spec.config = colours(spec.config);
    return vegaEmbed(place, spec, {
      renderer: 'svg',
      downloadFileName: script.dataset.chart,
      tooltip: { theme: dark.matches ? 'dark' : 'light' },
      actions: { export: true, source: false, compiled: false, editor: false }
    });
  }

  function drawAll() {
    var scripts = Array.prototype.slice.call(document.querySelectorAll('script[data-chart]'));
    root.dataset.drawn = '';
    Promise.all(scripts.map(draw)).then(function () {
      root.dataset.drawn = scripts.length;
    });
  }

  document.querySelectorAll('details.numbers').forEach(function (details) {
    details.open = false; /* they stand open where no script runs */
  });
  drawAll();
  dark.addEventListener('change', drawAll);
})();
