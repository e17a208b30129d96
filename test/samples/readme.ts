/** The commands of a README's `sh` blocks, and what they are said to print. Pure. */

export interface Command {
  /** Split at blanks; quotes as the shell has them. */
  readonly argv: readonly string[];
  /** Texts that are in the output. */
  readonly prints: readonly string[];
  /** Texts that are not. */
  readonly printsNot: readonly string[];
  /** It fails: a refusal, a difference, a denial. */
  readonly fails: boolean;
}

/** `# refused: TEXT` and `# differs: TEXT`: the command's status is not 0. */
const FAILING = /^(refused|differs): /;
/** `sallyport explain` ends so where the answer is no. */
const DENIED = /^DENIED\b/;

/** Throws where a comment stands before any command. */
export function commandsOf(readme: string): Command[] {
  const commands: Command[] = [];
  for (const [, block] of readme.matchAll(/^```sh\n([^]*?)^```$/gm))
    for (const line of block!
      .replaceAll('\\\n', ' ')
      .split('\n')
      .filter((text) => text.trim() !== '')) {
      if (!line.startsWith('# ')) {
        commands.push({argv: words(line), prints: [], printsNot: [], fails: false});
        continue;
      }
      const last = commands.pop();
      if (last === undefined) throw new Error(`${line}: there is no command before it`);
      commands.push(expected(last, line.slice(2)));
    }
  return commands;
}

function expected(command: Command, text: string): Command {
  if (text.startsWith('not: ')) return {...command, printsNot: [...command.printsNot, text.slice('not: '.length)]};
  const fails = command.fails || FAILING.test(text) || DENIED.test(text);
  return {...command, prints: [...command.prints, text.replace(FAILING, '')], fails};
}

function words(line: string): string[] {
  return [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain!);
}
