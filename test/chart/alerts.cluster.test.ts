/** The alerts: of metrics that exist, and each with something to do. */
import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import {describe, expect} from '@jest/globals';
import {clusterTest} from '../cluster/require.ts';
import {find, NAMESPACE, rendered} from './helm.ts';

interface Alert {
  readonly alert: string;
  readonly expr: string;
  readonly labels: {readonly severity: string};
  readonly annotations: {readonly summary: string; readonly description: string};
}

const alertsOf = (values: object = {}): readonly Alert[] =>
  find(
    rendered({monitoring: {prometheusRule: {enabled: true, ...values}, serviceMonitor: {enabled: true}}}),
    'PrometheusRule',
    'sallyport',
  )['spec'].groups[0].rules as Alert[];

/** Each metric of the program, as it is written down, with its labels. */
function exposed(): Map<string, readonly string[]> {
  const metrics = new Map<string, readonly string[]>();
  for (const file of ['../../runtime/metrics.ts', '../../runtime/certificate-times.ts', '../../injector/metrics.ts']) {
    const text = readFileSync(join(import.meta.dirname, file), 'utf8');
    for (const [, name, rest] of text.matchAll(/name: '(sallyport_[a-z_]+)',([^}]*)/g)) {
      const labels = /labelNames: \[([^\]]*)\]/.exec(rest!)?.[1] ?? '';
      metrics.set(
        name!,
        [...labels.matchAll(/'([^']+)'/g)].map(([, label]) => label!),
      );
    }
  }
  return metrics;
}

/** Labels that Prometheus adds, from the ServiceMonitor. */
const OF_THE_SCRAPE = ['namespace', 'pod', 'node', 'job', 'instance', 'service'];

describe('every alert', () => {
  clusterTest('helm')('asks for metrics that there are, by labels that they have', () => {
    const metrics = exposed();
    const asked = alertsOf().flatMap(({expr}) => [...expr.matchAll(/(sallyport_[a-z0-9_]+)(?:\{([^}]*)\})?/g)]);
    expect(asked.length).toBeGreaterThan(8);
    for (const [, name, matchers = ''] of asked) {
      const base = name!.replace(/_(bucket|sum|count)$/, '');
      expect([...metrics.keys()]).toContain(base);
      const labels = [...matchers.matchAll(/([a-z_]+)=/g)].map(([, label]) => label!);
      expect(labels.filter((label) => ![...OF_THE_SCRAPE, ...metrics.get(base)!].includes(label))).toEqual([]);
    }
  });

  clusterTest('helm')('groups and names by labels that it has', () => {
    const metrics = exposed();
    const known = [...OF_THE_SCRAPE, ...[...metrics.values()].flat()];
    for (const {expr, annotations} of alertsOf()) {
      const groups = [...expr.matchAll(/by \(([^)]*)\)/g)].map(([, list]) => list!.split(/,\s*/));
      expect(groups.flat().filter((label) => !known.includes(label))).toEqual([]);
      const texts = `${annotations.summary} ${annotations.description}`;
      const shown = [...texts.matchAll(/\{\{ \$labels\.([a-z_]+) \}\}/g)].map(([, label]) => label!);
      // What is summed up has lost every other label.
      if (groups.length > 0) expect(shown.filter((label) => !groups.every((by) => by.includes(label)))).toEqual([]);
      expect(texts).not.toMatch(/NAMESPACE|DENIED_PER_SECOND/);
    }
  });

  clusterTest('helm')('looks at jobs that are scraped, in our namespace', () => {
    const objects = rendered({monitoring: {prometheusRule: {enabled: true}, serviceMonitor: {enabled: true}}});
    const jobs = objects.filter(({kind}) => kind === 'Service').map(({metadata}) => metadata.name);
    for (const {expr} of alertsOf()) {
      for (const [, job] of expr.matchAll(/job="([^"]+)"/g)) expect(jobs).toContain(job);
      for (const [, namespace] of expr.matchAll(/namespace="([^"]+)"/g)) expect(namespace).toBe(NAMESPACE);
      expect(expr.split('(').length).toBe(expr.split(')').length);
    }
  });

  clusterTest('helm')('has a name of its own, a severity, and can be switched off', () => {
    const alerts = alertsOf();
    expect(new Set(alerts.map(({alert}) => alert)).size).toBe(alerts.length);
    for (const {labels} of alerts) expect(['critical', 'warning']).toContain(labels.severity);
    const disabled = alerts.map(({alert}) => alert).slice(1);
    expect(alertsOf({disabled}).map(({alert}) => alert)).toEqual([alerts[0]!.alert]);
    expect(alertsOf({deniedPerSecond: 77}).some(({expr}) => expr.includes('> 77'))).toBe(true);
  });
});
