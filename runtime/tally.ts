/**
 * Metrics of the hot path, counted in plain fields. prom-client checks labels and hashes their values with every inc()
 * and observe(), which cost a request 3 µs; here prom-client is told when the metrics are read.
 */
import {Counter, Histogram, type CounterConfiguration, type HistogramConfiguration} from 'prom-client';

type Labels<Name extends string> = Readonly<Record<Name, string>>;

/** One combination of a counter's labels. */
export class Count {
  value = 0;
}

/** One combination of a histogram's labels. */
export class Spread {
  /** Observations by the first bound that holds them; the last: above all bounds. */
  readonly within: number[];
  sum = 0;
  readonly #bounds: readonly number[];

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.within = [...bounds.map(() => 0), 0];
  }

  observe(value: number): void {
    const bounds = this.#bounds;
    let at = 0;
    while (at < bounds.length && value > bounds[at]!) at++;
    this.within[at]!++;
    this.sum += value;
  }
}

/** A counter. Returned: a new combination of labels, at 0; ask once for each. */
export function tallyCounter<Name extends string>(
  configuration: CounterConfiguration<Name>,
): (labels: Labels<Name>) => Count {
  const counts: {readonly labels: Labels<Name>; readonly count: Count}[] = [];
  new Counter({
    ...configuration,
    collect() {
      this.reset();
      for (const {labels, count} of counts) this.inc(labels, count.value);
    },
  });
  return (labels) => {
    const count = new Count();
    counts.push({labels, count});
    return count;
  };
}

/** A histogram, likewise. */
export function tallyHistogram<Name extends string>(
  configuration: HistogramConfiguration<Name> & {readonly buckets: number[]},
): (labels: Labels<Name>) => Spread {
  const {name, buckets} = configuration;
  const spreads: {readonly labels: Labels<Name>; readonly spread: Spread}[] = [];
  const samples = (): Sample[] => spreads.flatMap(({labels, spread}) => samplesOf(name, buckets, labels, spread));
  new TalliedHistogram(configuration, samples);
  return (labels) => {
    const spread = new Spread(buckets);
    spreads.push({labels, spread});
    return spread;
  };
}

/** A sample of the exposition format. */
interface Sample {
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
  readonly metricName: string;
}

type Read<Name extends string> = ReturnType<Histogram<Name>['get']>;

/** prom-client's, but for where the samples come from: its own cannot be set. */
class TalliedHistogram<Name extends string> extends Histogram<Name> {
  readonly #configuration: HistogramConfiguration<Name>;
  readonly #samples: () => Sample[];

  constructor(configuration: HistogramConfiguration<Name>, samples: () => Sample[]) {
    super(configuration);
    this.#configuration = configuration;
    this.#samples = samples;
  }

  /** As JSON, for the supervisor. */
  override get(): Read<Name> {
    const {name, help} = this.#configuration;
    const read: object = {name, help, type: 'histogram', aggregator: 'sum', values: this.#samples()};
    return Promise.resolve(read as Awaited<Read<Name>>);
  }

  /** For a registry that writes text itself. */
  getForPromString(): Read<Name> {
    return this.get();
  }
}

/** Cumulative buckets, sum and count. */
function samplesOf(name: string, bounds: readonly number[], labels: Sample['labels'], spread: Spread): Sample[] {
  let count = 0;
  const bucket = (le: number | string, at: number): Sample => ({
    labels: {le, ...labels},
    value: (count += spread.within[at]!),
    metricName: `${name}_bucket`,
  });
  const buckets = [...bounds.map(bucket), bucket('+Inf', bounds.length)];
  return [
    ...buckets,
    {labels, value: spread.sum, metricName: `${name}_sum`},
    {labels, value: count, metricName: `${name}_count`},
  ];
}
