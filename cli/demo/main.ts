/** `sallyport demo`: the guided tour. Exit code 0 only if everything was as expected. */
import {EXIT, SallyportError} from '../../runtime/errors.ts';
import {helpText, parseFlags, type FlagTable} from '../../runtime/flags.ts';
import type {Out} from '../../runtime/output.ts';
import {hasLabPrivileges} from '../../test/lab/index.ts';
import {table} from './check.ts';
import type {Ground} from './ground.ts';
import {labGround} from './ground-lab.ts';
import {loopbackGround} from './ground-loopback.ts';
import {GOOGLE, OBJECT, STORAGE} from './internet.ts';
import {walk, type Screen} from './tour.ts';

const FLAGS = {
  exit: {kind: 'switch', help: 'End after the tour, also on a terminal.'},
  'no-root': {kind: 'switch', help: 'Take the tour by the explicit port, as without root.'},
} as const satisfies FlagTable;

export async function demo(argv: readonly string[], out: Out): Promise<number> {
  if (argv.includes('--help')) {
    out.stdout(helpText('demo', 'the guided tour, on real traffic', FLAGS));
    return EXIT.ok;
  }
  const {settings} = parseFlags('demo', FLAGS, {argv, env: {}});
  const privileges = hasLabPrivileges();
  const colours = process.stdout.isTTY;
  const screen = createScreen(out, colours);
  let ground: Ground | null = null;
  let interrupted = false;
  const stayed = Promise.withResolvers<void>();
  const interrupt = (): void => {
    interrupted = true;
    stayed.resolve();
    void ground?.close();
  };
  process.on('SIGINT', interrupt);
  process.on('SIGTERM', interrupt);
  try {
    if (privileges.ok && !settings['no-root']) {
      ground = await labGround(colours);
    } else {
      screen.heading('Without root');
      screen.text(
        `${privileges.ok ? 'Asked for by --no-root' : `This machine lacks ${privileges.missing}`}: the tour goes by the explicit proxy port, on loopback.\nRoot would add: pods in network namespaces whose traffic is captured whether they know of the proxy or not, the free pod beside it, and ping refused.`,
      );
      ground = await loopbackGround(colours);
    }
    for (const line of ground.introduction) screen.text(line);
    const seen = await walk(ground, screen);
    screen.heading('Expected and seen');
    out.stdout(`${table(seen)}\n`);
    const agreed = seen.every((row) => row.ok);
    if (!settings.exit && process.stdout.isTTY && process.stdin.isTTY && !interrupted) {
      screen.heading('It stays up: try it, Ctrl-C ends it');
      screen.command(ground.prompt('locked'), ['curl', '-s', `https://${STORAGE}${OBJECT}`]);
      screen.command(ground.prompt('locked'), ['curl', '-s', `https://${GOOGLE}/`]);
      screen.text(`The policy is in ${ground.dir}/policies, the filter in ${ground.dir}/filters: edit them.`);
      await stayed.promise;
    }
    return agreed && !interrupted ? EXIT.ok : EXIT.finding;
  } catch (error) {
    // Ctrl-C takes the ground away under the step that runs: its failure is not news.
    if (interrupted) return EXIT.finding;
    throw error instanceof SallyportError
      ? error
      : new SallyportError(
          'DemoFailed',
          (error as Error).message,
          'Run it again; what it left behind is removed first.',
          {cause: error},
        );
  } finally {
    await ground?.close();
    process.off('SIGINT', interrupt);
    process.off('SIGTERM', interrupt);
  }
}

function createScreen(out: Out, colours: boolean): Screen {
  const paint = (code: number, text: string): string => (colours ? `\u001b[${code}m${text}\u001b[0m` : text);
  const quoted = (word: string): string => (/^[\w@%+=:,./~-]+$/.test(word) ? word : `'${word}'`);
  return {
    heading: (text) => out.stdout(`\n${paint(1, `== ${text}`)}\n`),
    text: (text) =>
      out.stdout(
        `${text
          .split('\n')
          .map((line) => paint(2, `   ${line}`))
          .join('\n')}\n`,
      ),
    command: (prompt, argv) => out.stdout(`${paint(36, prompt)} ${argv.map(quoted).join(' ')}\n`),
    output: (text) =>
      out.stdout(
        text === ''
          ? ''
          : `${text
              .split('\n')
              .map((line) => `  ${line}`)
              .join('\n')}\n`,
      ),
  };
}
