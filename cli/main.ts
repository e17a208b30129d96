/** `sallyport COMMAND`: finds the command and turns its errors into messages and exit codes. */
import {pathToFileURL} from 'node:url';
import {EXIT, SallyportError} from '../runtime/errors.ts';
import {closest} from '../runtime/closest.ts';
import {useCodeCache} from '../runtime/code-cache.ts';
import type {Out} from '../runtime/output.ts';

interface Command {
  readonly summary: string;
  run(argv: string[], out: Out): Promise<number>;
}

/** A command's code is imported when it is asked for, so that `check` does not load a proxy. */
const COMMANDS: Readonly<Record<string, Command>> = {
  tproxy: {
    summary: 'the transparent MITM dataplane',
    run: async (argv, out) => {
      useCodeCache();
      return (await import('../tproxy/main.ts')).tproxy(argv, out);
    },
  },
  controller: {
    summary: 'conditions, the CA and trust bundles of a cluster',
    run: async (argv, out) => (await import('../cluster/controller/main.ts')).controller(argv, out),
  },
  injector: {
    summary: 'the admission webhook of pods',
    run: async (argv, out) => (await import('../injector/main.ts')).injector(argv, out),
  },
  guard: {
    summary: 'proves from inside a pod that its traffic is captured',
    run: async (argv, out) => (await import('../guard/main.ts')).guard(argv, out),
  },
  'pod-rules': {
    summary: 'sets the rules of capture: pod (an init container)',
    run: async (argv, out) => (await import('../tproxy/pod-rules.ts')).podRules(argv, out),
  },
  inject: {
    summary: "the admission webhook's patch, offline",
    run: async (argv, out) => (await import('./inject.ts')).inject(argv, out),
  },
  extauthz: {
    summary: 'answers Envoy by the same policy (ext_authz), and mints its certificates (SDS)',
    run: async (argv, out) => {
      useCodeCache();
      return (await import('../extauthz/main.ts')).extauthz(argv, out);
    },
  },
  check: {
    summary: 'is this policy valid? file:line:column: message',
    run: async (argv, out) => (await import('./check.ts')).check(argv, out),
  },
  'mesh-config': {
    summary: 'from one MeshEgress to the Istio objects that make a mesh ask',
    run: async (argv, out) => (await import('./mesh-config.ts')).meshConfig(argv, out),
  },
  explain: {
    summary: 'would this request pass, by which rule, why',
    run: async (argv, out) => (await import('./explain.ts')).explain(argv, out),
  },
  doctor: {
    summary: 'is enforcement really on? sends probes, counts packets',
    run: async (argv, out) => (await import('./doctor.ts')).doctor(argv, out),
  },
  demo: {
    summary: 'the guided tour, on real traffic in network namespaces',
    run: async (argv, out) => (await import('./demo/main.ts')).demo(argv, out),
  },
};

function usage(): string {
  const rows = Object.entries(COMMANDS).map(([name, command]) => `  ${name.padEnd(11)} ${command.summary}`);
  return `sallyport COMMAND [flags]\n\n${rows.join('\n')}\n\nsallyport COMMAND --help lists a command's flags. Exit codes: 0 ok, 1 finding, 2 usage, 3 could not run.\n`;
}

/** Runs the command of argv; the result is the exit code. Never throws. */
export async function main(argv: string[], out: Out = processOut): Promise<number> {
  const [name, ...rest] = argv;
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    out.stdout(usage());
    return name === undefined ? EXIT.usage : EXIT.ok;
  }
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command === undefined) {
    const near = closest(name, Object.keys(COMMANDS));
    out.stderr(
      `sallyport: unknown command ${JSON.stringify(name)}.${near === null ? '' : ` Did you mean ${near}?`}\n\n${usage()}`,
    );
    return EXIT.usage;
  }
  try {
    return await command.run(rest, out);
  } catch (error) {
    if (!(error instanceof SallyportError)) {
      out.stderr(
        `sallyport ${name}: unexpected error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
      );
      return EXIT.couldNotRun;
    }
    out.stderr(`sallyport ${name}: ${error.describe()}\n`);
    return error.code === 'Usage' ? EXIT.usage : EXIT.couldNotRun;
  }
}

const processOut: Out = {
  stdout: (text) => void process.stdout.write(text),
  stderr: (text) => void process.stderr.write(text),
};

/** What a role that could not start had begun (watches, timers) must not keep it: whoever restarts it waits for its end. */
const LINGER_MS = 1_000;

/** Runs the command of this process, and ends it with the exit code. */
export async function runProcess(): Promise<void> {
  process.exitCode = await main(process.argv.slice(2));
  // Not at once: what was written to a pipe is still going out. Where nothing is left the process ends sooner by itself.
  setTimeout(() => process.exit(), LINGER_MS).unref();
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) await runProcess();
