// A board as Grafana's JSON, made with Grafana's own builders.

import * as common from '@grafana/grafana-foundation-sdk/common';
import * as dashboard from '@grafana/grafana-foundation-sdk/dashboard';
import * as prometheus from '@grafana/grafana-foundation-sdk/prometheus';
import { PanelBuilder as StatPanel } from '@grafana/grafana-foundation-sdk/stat';
import { PanelBuilder as TablePanel } from '@grafana/grafana-foundation-sdk/table';
import { PanelBuilder as TextPanel, TextMode } from '@grafana/grafana-foundation-sdk/text';
import { PanelBuilder as LinesPanel } from '@grafana/grafana-foundation-sdk/timeseries';

import type { AlertTable, Board, Figures, Note, PanelText, Placed, Query, Threshold, Unit } from './model.ts';
import { place } from './model.ts';
import { NAMES, isTranslated } from './text/names.ts';

/** Grafana 11's schema, which newer ones read and migrate. */
const SOURCE = { type: 'prometheus', uid: '${datasource}' };
const COLOURS = { watch: 'orange', wrong: 'red' } as const;
const UNITS: Record<Unit, string> = {
  count: 'short',
  perSecond: 'cps',
  seconds: 's',
  age: 's',
  bytes: 'bytes',
  bytesPerSecond: 'Bps',
  ratio: 'percentunit',
  cores: 'short',
  level: 'none',
};

/** A panel's description: Danish, then English with its title. */
const described = (text: PanelText) => `${text.help.da}\n\n*${text.en}: ${text.help.en}*`;

const target = ({ expr, legend }: Query, refId: string) =>
  new prometheus.DataqueryBuilder().expr(expr).legendFormat(legend).refId(refId).range();

function thresholds(of: Threshold[] = []): dashboard.ThresholdsConfigBuilder {
  const below = of.some((threshold) => threshold.below);
  const up = [...of].sort((a, b) => a.at - b.at);
  // Steps colour what lies above them: for what is bad when low, each step carries the colour of the next better.
  const steps = below
    ? [
        { value: null, color: 'red' },
        ...up.map(({ at }, n) => ({ value: at, color: up[n + 1] ? COLOURS.watch : 'green' })),
      ]
    : [{ value: null, color: 'green' }, ...up.map(({ at, means }) => ({ value: at, color: COLOURS[means] }))];
  return new dashboard.ThresholdsConfigBuilder().mode(dashboard.ThresholdsMode.Absolute).steps(steps);
}

/** Danish names for label values, by overrides, so that they hold whatever values come. */
function rename<T extends { overrideByName(name: string, properties: dashboard.DynamicConfigValue[]): T }>(panel: T, queries: Query[]): T {
  if (!queries.some(({ legend }) => isTranslated(legend))) return panel;
  return Object.entries(NAMES).reduce(
    (built, [value, words]) => built.overrideByName(value, [{ id: 'displayName', value: words.da }]),
    panel,
  );
}

function linesPanel(figures: Figures): LinesPanel {
  const stacked = figures.kind === 'stack';
  let panel = new LinesPanel()
    .unit(UNITS[figures.unit])
    .min(0)
    .lineWidth(stacked ? 1 : 2)
    .fillOpacity(stacked ? 45 : 6)
    .showPoints(common.VisibilityMode.Never)
    .lineInterpolation(common.LineInterpolation.Linear)
    .thresholds(thresholds(figures.thresholds))
    .colorScheme(new dashboard.FieldColorBuilder().mode(dashboard.FieldColorModeId.PaletteClassic))
    .legend(
      new common.VizLegendOptionsBuilder()
        .displayMode(common.LegendDisplayMode.Table)
        .placement(common.LegendPlacement.Bottom)
        .calcs(['lastNotNull', 'max'])
        .showLegend(true),
    )
    .tooltip(new common.VizTooltipOptionsBuilder().mode(common.TooltipDisplayMode.Multi).sort(common.SortOrder.Descending));
  if (stacked) panel = panel.stacking(new common.StackingConfigBuilder().mode(common.StackingMode.Normal));
  if (figures.thresholds?.length) {
    panel = panel.thresholdsStyle(new common.GraphThresholdsStyleConfigBuilder().mode(common.GraphThresholdsStyleMode.Dashed));
  }
  if (figures.max !== undefined) panel = panel.max(figures.max);
  return rename(panel, figures.queries);
}

function statPanel(figures: Figures): StatPanel {
  const panel = new StatPanel()
    .unit(UNITS[figures.unit])
    .thresholds(thresholds(figures.thresholds))
    .colorMode(figures.thresholds ? common.BigValueColorMode.Background : common.BigValueColorMode.Value)
    .graphMode(common.BigValueGraphMode.Area)
    .reduceOptions(new common.ReduceDataOptionsBuilder().calcs(['lastNotNull']));
  if (figures.unit === 'ratio') panel.decimals(2);
  if (!figures.values) return panel;
  const options = Object.fromEntries(Object.entries(figures.values).map(([value, words]) => [value, { text: words.da }]));
  return panel.mappings([{ type: dashboard.MappingType.ValueToText, options }]);
}

function alertsPanel(): TablePanel {
  return new TablePanel()
    .withTransformation({ id: 'organize', options: { excludeByName: { Time: true }, renameByName: { alertname: 'Alarm', severity: 'Alvor', Value: 'Antal' } } })
    .overrideByName('Alarm', [{ id: 'links', value: [{ title: 'Runbook', url: '${runbooks}${__value.raw}.md', targetBlank: true }] }]);
}

/** A note as Markdown; its links lead to runbooks. */
const notePanel = ({ lines }: Note) =>
  new TextPanel()
    .mode(TextMode.Markdown)
    .content(lines.map(({ text, link }) => (link ? `- ${text} ([runbook](\${runbooks}${link}.md))` : `- ${text}`)).join('\n'));

function tableOf(table: AlertTable): TablePanel {
  const [query] = table.queries;
  if (!query) throw new Error('a table of alerts without a query');
  const dataquery = target(query, 'A').instant().format(prometheus.PromQueryFormat.Table);
  return alertsPanel().withTarget(dataquery);
}

function panelOf({ panel, x, y, width, height }: Placed): StatPanel | LinesPanel | TablePanel | TextPanel {
  const place = { x, y, w: width, h: height };
  if (panel.kind === 'note') return notePanel(panel).title(panel.text.da).description(described(panel.text)).gridPos(place);
  if (panel.kind === 'alerts') {
    return tableOf(panel).title(panel.text.da).description(described(panel.text)).datasource(SOURCE).gridPos(place);
  }
  const built: LinesPanel | StatPanel = panel.kind === 'stat' ? statPanel(panel) : linesPanel(panel);
  panel.queries.forEach((query, n) => built.withTarget(target(query, String.fromCharCode(65 + n))));
  return built.title(panel.text.da).description(described(panel.text)).datasource(SOURCE).gridPos(place);
}

/** The JSON that Grafana loads. */
export function grafana(board: Board, runbooks: string): dashboard.Dashboard {
  const { panels, headings } = place(board);
  const choice = (name: string, label: string, from: string) =>
    new dashboard.QueryVariableBuilder(name)
      .label(label)
      .datasource(SOURCE)
      .query({ query: from, refId: name })
      .multi(true)
      .includeAll(true)
      .allValue('.*')
      .current({ text: 'All', value: '$__all' })
      .refresh(dashboard.VariableRefresh.OnTimeRangeChanged)
      .sort(dashboard.VariableSort.AlphabeticalAsc);
  const builder = new dashboard.DashboardBuilder(board.title.da)
    .uid(board.uid)
    .description(`${board.help.da}\n\n${board.title.en}: ${board.help.en}`)
    .tags(['klokke'])
    .timezone('browser')
    .weekStart('monday')
    .readonly()
    .refresh('10s')
    .time({ from: 'now-1h', to: 'now' })
    .tooltip(dashboard.DashboardCursorSync.Crosshair)
    .withVariable(new dashboard.DatasourceVariableBuilder('datasource').label('Datakilde').type('prometheus'))
    .withVariable(choice('job', 'Klynge', 'label_values(up{job=~"klokke.*"}, job)'))
    .withVariable(choice('instance', 'Node', 'label_values(up{job=~"$job"}, instance)'))
    .withVariable(new dashboard.ConstantVariableBuilder('runbooks').value(runbooks))
    .link(
      new dashboard.DashboardLinkBuilder('Klokke')
        .type(dashboard.DashboardLinkType.Dashboards)
        .tags(['klokke'])
        .asDropdown(false)
        .includeVars(true)
        .keepTime(true),
    );
  const all = [
    ...headings.map(({ title, y }) => ({ y, x: -1, add: () => builder.withRow(new dashboard.RowBuilder(title.da).gridPos({ x: 0, y, w: 24, h: 1 })) })),
    ...panels.map((placed) => ({ y: placed.y, x: placed.x, add: () => builder.withPanel(panelOf(placed)) })),
  ].sort((a, b) => a.y - b.y || a.x - b.x);
  for (const { add } of all) add();
  return builder.build();
}
