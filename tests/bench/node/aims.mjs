// What @distflow/native aims at, and whether a run met it. Nothing here fails a build.

const UNITS = {
  rate: (n) => (n >= 1e6 ? `${(n / 1e6).toFixed(2)} M/s` : `${(n / 1e3).toFixed(0)} k/s`),
  us: (n) => `${n.toFixed(n < 10 ? 2 : 0)} us`,
  ms: (n) => `${n.toFixed(1)} ms`,
  mib: (n) => `${n.toFixed(1)} MiB`,
};

/** A figure in words. */
export const words = (unit, value) => UNITS[unit](value);

function ratio(what, unit, key, other, name, bound, stretch = false) {
  const least = unit === 'rate';
  return {
    what: what + (stretch ? ' (stretch)' : ''),
    unit,
    key,
    other,
    aim: `${least ? '>=' : '<='} ${bound} x ${name}`,
    combine: (a, b) => a / b,
    text: (value) => value.toFixed(2),
    met: (value) => (least ? value >= bound : value <= bound),
  };
}

function above(what, unit, key, other, name, bound) {
  return {
    what,
    unit,
    key,
    other,
    aim: `<= ${name} + ${bound} ${unit === 'mib' ? 'MiB' : unit}`,
    combine: (a, b) => a - b,
    text: (value) => `${value < 0 ? '' : '+'}${words(unit, value)}`,
    met: (value) => value <= bound,
  };
}

const rate = (size, what, name, bound, stretch) => {
  const label = size === 100 ? '100 B' : '1 KiB';
  const [own, other] = ['distflow', what].map((peer) => `stream${size}.${peer}.rate`);
  return ratio(`messages, ${label}`, 'rate', own, other, name, bound, stretch);
};
const trip = (what, name, bound) =>
  ratio('round trip p50', 'us', 'trip.distflow.p50', `trip.${what}.p50`, name, bound);

const AIMS = [
  rate(100, 'zeromq', 'zeromq.js', 3),
  rate(100, 'nats', 'nats', 1.8),
  rate(100, 'net-batched', 'net, batched', 0.9, true),
  rate(1024, 'zeromq', 'zeromq.js', 1.5),
  rate(1024, 'nats', 'nats', 1.1),
  rate(1024, 'net-batched', 'net, batched', 0.85, true),
  trip('net', 'net', 1.15),
  trip('zeromq', 'zeromq.js', 0.9),
  above('first node, starts the PMD', 'ms', 'start.first', 'start.bare', 'bare', 30),
  above('first node, PMD is there', 'ms', 'start.second', 'start.bare', 'bare', 15),
  above('memory of a node', 'mib', 'memory.node', 'memory.bare', 'bare', 6),
  {
    what: 'memory of the PMD',
    unit: 'mib',
    key: 'memory.pmd',
    aim: '<= 4 MiB',
    text: (value) => words('mib', value),
    met: (value) => value <= 4,
  },
];

/** The aims, and what came of them in a run. */
export function outcomes(samples) {
  return AIMS.map((aim) => {
    const measured = samples.spread(aim.key);
    const yardstick = aim.other && samples.spread(aim.other);
    const judged = aim.other ? samples.combined(aim.key, aim.other, aim.combine) : measured;
    const { what, unit, aim: bound } = aim;
    if (!measured || !judged) return { what, aim: bound };
    return {
      what,
      aim: bound,
      measured: words(unit, measured.median),
      yardstick: yardstick && words(unit, yardstick.median),
      compared: aim.other && aim.text(judged.median),
      spread: `${aim.text(judged.min)} to ${aim.text(judged.max)}`,
      met: aim.met(judged.median),
    };
  });
}
