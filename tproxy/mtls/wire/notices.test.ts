import {expect, test} from '@jest/globals';
import {boundedNotices, NOTICE_RATES} from './notices.ts';

function heard(): {readonly say: (source: string) => void; readonly lines: string[]; wait: (ms: number) => void} {
  const lines: string[] = [];
  let at = 0;
  const notices = boundedNotices({notice: (_level, _event, message) => void lines.push(message)}, () => at);
  return {
    say: (source) => notices.notice('warn', 'mtls.refused', source, {source}),
    lines,
    wait: (ms) => void (at += ms),
  };
}

test('a source that is refused ten thousand times does not fill the log, nor hide another one', () => {
  const {say, lines, wait} = heard();
  for (let i = 0; i < 10_000; i++) say('10.0.0.1');
  expect(lines).toHaveLength(NOTICE_RATES.source.burst);
  say('10.0.0.2');
  expect(lines.at(-1)).toBe(
    `10.0.0.2 (${10_000 - NOTICE_RATES.source.burst} more lines were not written; sallyport_connection_events_total counts)`,
  );
  wait(1_000);
  say('10.0.0.1');
  expect(lines.at(-1)).toBe('10.0.0.1');
});

test('nor do as many sources as a network has addresses', () => {
  const {say, lines} = heard();
  for (let i = 0; i < 10_000; i++) say(`fd00::${i.toString(16)}`);
  expect(lines).toHaveLength(NOTICE_RATES.all.burst);
});
