// The figures of all rounds.

/** Median, least and greatest of some numbers. */
export function spread(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const odd = sorted.length % 2 === 1;
  const median = odd ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  return { median, min: sorted[0], max: sorted.at(-1) };
}

/** Figures by key, one a round. */
export class Samples {
  figures = new Map();

  add(key, value) {
    const values = this.figures.get(key) ?? [];
    values.push(value);
    this.figures.set(key, values);
  }

  spread(key) {
    const values = this.figures.get(key);
    return values && spread(values);
  }

  /** What `combine` makes of two figures of the same round. */
  combined(key, other, combine) {
    const [a, b] = [this.figures.get(key), this.figures.get(other)];
    if (!a || !b || a.length !== b.length) return undefined;
    return spread(a.map((value, round) => combine(value, b[round])));
  }
}
