/** Options that say where files were kept, not what was measured. */
const places = ['--out', '--state-dir'];

/** The npm command that runs the same again, without the paths of this machine: `npm run bench:pull -- --samples 9` */
export function commandLine(program: string, argv: readonly string[]): string {
  const kept = withoutPlaces(argv).map(quote);
  return [`npm run ${program}`, ...(kept.length > 0 ? ['--', ...kept] : [])].join(' ');
}

/** What was asked for, without where files were kept. */
export function withoutPlaces(argv: readonly string[]): string[] {
  const kept: string[] = [];
  for (let index = 0; index < argv.length; index++) {
    const argument = argv[index]!;
    if (places.includes(argument)) index++;
    else if (!places.some((place) => argument.startsWith(`${place}=`))) kept.push(argument);
  }
  return kept;
}

function quote(argument: string): string {
  return /^[\w@%+=:,./-]+$/.test(argument) ? argument : `'${argument.replaceAll("'", `'\\''`)}'`;
}
