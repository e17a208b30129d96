/** The tour itself: the transparent-proxy tutorial, command by command, then what changes while it runs. */
import {mkdirSync, renameSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {
  answers,
  curlStatus,
  describe,
  distrusted,
  refused,
  replies,
  type CommandResult,
  type Expectation,
  type Seen,
} from './check.ts';
import {filter, tutorialPolicy, upstreamProxy} from './documents.ts';
import type {Ground} from './ground.ts';
import {GOOGLE, METADATA, OBJECT, STORAGE} from './internet.ts';

/** An edited file is in force within this long; the tour holds the proxy to it. */
export const RELOAD_DEADLINE_MS = 2000;
const RETRY_MS = 50;

const ADMINISTRATOR = 'Access Denied by Administrator';

export interface Screen {
  heading(text: string): void;
  text(text: string): void;
  /** A command as it is typed, before its output. */
  command(prompt: string, argv: readonly string[]): void;
  output(text: string): void;
}

/** Walks the whole way; what was expected and seen, in order. */
export async function walk(ground: Ground, screen: Screen): Promise<Seen[]> {
  const seen: Seen[] = [];
  const note = (who: string, what: string, expectation: Expectation, result: CommandResult): void => {
    const body = describe({...result, stdout: result.stdout.split('\n').slice(0, -2).join(' ')});
    const shown = expectation.holds(result) ? expectation.says : `${curlStatus(result)} ${body}`.slice(0, 60);
    seen.push({who, what, expected: expectation.says, seen: shown, ok: expectation.holds(result)});
  };
  const step = async (
    pod: 'free' | 'locked',
    argv: readonly string[],
    what: string,
    expectation: Expectation,
    trust: 'public' | 'sallyport',
  ): Promise<void> => {
    screen.command(ground.prompt(pod), argv);
    const result = await ground.run(pod, argv, trust);
    screen.output(`${result.stdout}${result.stderr}`.trim());
    note(`${pod} pod`, what, expectation, result);
  };
  /** Repeats until the answer is the expected one, or the time within which an edit must be in force is over. */
  const changed = async (argv: readonly string[], what: string, expectation: Expectation): Promise<void> => {
    screen.command(ground.prompt('locked'), argv);
    const started = Date.now();
    for (;;) {
      const result = await ground.run('locked', argv, 'sallyport');
      if (!expectation.holds(result) && Date.now() - started < RELOAD_DEADLINE_MS) {
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
        continue;
      }
      screen.output(`${result.stdout}${result.stderr}`.trim());
      screen.text(`(${Date.now() - started} ms after the edit)`);
      note('locked pod', what, expectation, result);
      return;
    }
  };
  const curl = (url: string, ...more: string[]): string[] => [
    'curl',
    '-sS',
    '-m',
    '10',
    '-w',
    '\\n%{http_code}\\n',
    ...more,
    url,
  ];
  const object = curl(`https://${STORAGE}${OBJECT}`);
  const google = curl(`https://${GOOGLE}/`);
  const metadata = curl(`http://${METADATA}/computeMetadata/v1/instance/service-accounts/default/token`);
  const ping = ['ping', '-c', '1', '-W', '2', GOOGLE];

  const policies = join(ground.dir, 'policies');
  const filters = join(ground.dir, 'filters');
  mkdirSync(policies, {recursive: true});
  mkdirSync(filters, {recursive: true});
  edit(join(policies, 'storage-only.yaml'), tutorialPolicy(418, ground.via));

  if (ground.captures) {
    screen.heading('A free pod reaches everything');
    await step('free', object, 'https, an object of the bucket', answers(200), 'public');
    await step('free', google, 'https, another site', answers(200), 'public');
    await step('free', metadata, 'http, the metadata server', answers(200, 'credentials'), 'public');
    await step('free', ping, 'ping', replies, 'public');
  }

  screen.heading('The policy, and the proxy that holds the other pod to it');
  screen.output(tutorialPolicy(418, ground.via).trim());
  await ground.startProxy((line) => screen.text(line));

  screen.heading('The locked pod: one bucket may be read, everything else is refused');
  await step('locked', object, 'https, an object of the bucket', answers(200), 'sallyport');
  await step(
    'locked',
    curl(`https://${STORAGE}/pub/secrets`),
    'https, another bucket',
    answers(418, ADMINISTRATOR),
    'sallyport',
  );
  await step('locked', google, 'https, another site', answers(418, ADMINISTRATOR), 'sallyport');
  await step(
    'locked',
    curl(`http://${STORAGE}${OBJECT}`),
    'http, the same object',
    answers(418, ADMINISTRATOR),
    'sallyport',
  );
  await step('locked', metadata, 'http, the metadata server', answers(418, ADMINISTRATOR), 'sallyport');
  await step(
    'locked',
    curl(`https://${STORAGE}/solutions-public-assets/x`, '-T', '-'),
    'https, an upload',
    answers(418, ADMINISTRATOR),
    'sallyport',
  );
  if (ground.captures) {
    await step('locked', ping, 'ping', refused, 'sallyport');
    await step('free', ping, 'ping, still', replies, 'public');
    screen.heading('Trust: without our CA in its bundle a client sees that the leaf is not the public one');
    await step('locked', object, 'https, trusting public roots only', distrusted, 'public');
  }

  screen.heading('The administrator edits the policy while it runs: 418 becomes 500');
  edit(join(policies, 'storage-only.yaml'), tutorialPolicy(500, ground.via));
  await changed(google, 'https, another site, edited to 500', answers(500, ADMINISTRATOR));
  await step('locked', object, 'https, the object, still', answers(200), 'sallyport');

  screen.heading('A script filter is written, and edited, while it runs');
  const ticket = curl(`https://${STORAGE}${OBJECT}`, '-H', 'x-ticket: 7');
  edit(join(filters, 'tickets.mjs'), filter(451));
  await changed(ticket, 'a header that the filter refuses', answers(451, 'No tickets today'));
  edit(join(filters, 'tickets.mjs'), filter(429));
  await changed(ticket, 'the same, filter edited to 429', answers(429, 'No tickets today'));
  await step('locked', object, 'without that header', answers(200), 'sallyport');

  screen.heading('A corporate squid is put in between');
  const squid = await ground.startSquid();
  if ('missing' in squid) {
    screen.text(`skip: ${squid.missing}`);
  } else {
    edit(join(policies, 'corp.yaml'), upstreamProxy('corp', squid.url, ground.captures ? 'Both' : 'Proxy'));
    edit(join(policies, 'storage-only.yaml'), tutorialPolicy(418, 'corp'));
    await changed(google, 'https, another site, 418 again', answers(418, ADMINISTRATOR));
    await step('locked', object, 'https, the object through squid', answers(200), 'sallyport');
    const request = `CONNECT ${STORAGE}:443`;
    const log = await within(RELOAD_DEADLINE_MS, () =>
      squid
        .log()
        .split('\n')
        .find((line) => line.includes(request)),
    );
    screen.output(`squid's log: ${log ?? 'nothing'}`);
    seen.push({
      who: 'squid',
      what: 'saw the CONNECT',
      expected: 'yes',
      seen: log === undefined ? 'no' : 'yes',
      ok: log !== undefined,
    });
  }
  return seen;
}

/** Replaces a file as an editor does: never half written. */
function edit(file: string, text: string): void {
  writeFileSync(`${file}.new~`, text);
  renameSync(`${file}.new~`, file);
}

async function within<T>(deadlineMs: number, look: () => T | undefined): Promise<T | undefined> {
  const end = Date.now() + deadlineMs;
  for (;;) {
    const found = look();
    if (found !== undefined || Date.now() > end) return found;
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}
