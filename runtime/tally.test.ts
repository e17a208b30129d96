import {expect, test} from '@jest/globals';
import {AggregatorRegistry, Counter, Histogram, Registry} from 'prom-client';
import {tallyCounter, tallyHistogram} from './tally.ts';

const BUCKETS = [0.001, 0.1, 2];
const OBSERVED = [0.0005, 0.001, 0.05, 0.1, 1.5, 60];

/** The same numbers, counted here and by prom-client. */
function both(): {ours: Registry; theirs: Registry} {
  const ours = new Registry();
  const theirs = new Registry();
  const flows = {name: 'flows_total', help: 'Flows.', labelNames: ['protocol', 'verdict'] as const};
  const seconds = {name: 'flow_seconds', help: 'Time.', labelNames: ['protocol'] as const, buckets: BUCKETS};

  const counts = tallyCounter({...flows, registers: [ours]});
  const spreads = tallyHistogram({...seconds, registers: [ours]});
  const counter = new Counter({...flows, registers: [theirs]});
  const histogram = new Histogram({...seconds, registers: [theirs]});
  for (const protocol of ['h1', 'h2']) {
    const count = counts({protocol, verdict: 'allow'});
    const spread = spreads({protocol});
    for (const value of OBSERVED) {
      count.value += 3;
      spread.observe(value);
      counter.inc({protocol, verdict: 'allow'}, 3);
      histogram.observe({protocol}, value);
    }
  }
  return {ours, theirs};
}

test('what is tallied reads as if prom-client had counted it, as text', async () => {
  const {ours, theirs} = both();
  const text = await ours.metrics();
  expect(text).toContain('flow_seconds_bucket{le="+Inf",protocol="h2"} 6');
  expect(text).toBe(await theirs.metrics());
});

test('... and added up over workers, and when read twice', async () => {
  const {ours, theirs} = both();
  const sum = async (registry: Registry): Promise<string> =>
    AggregatorRegistry.aggregate([await registry.getMetricsAsJSON(), await registry.getMetricsAsJSON()]).metrics();
  const text = await sum(ours);
  expect(text).toContain('flows_total{protocol="h1",verdict="allow"} 36');
  expect(text).toBe(await sum(theirs));
});
