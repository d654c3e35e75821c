// What AssemblyScript has no reflection for: gives every class marked @row or @data a method that
// visits its fields, each with its name and type.

const MARKS = ["row", "data"];

const named = (decorators, name) => decorators?.find((decorator) => decorator.name.text === name);

const textOf = ({ range }) => range.source.text.substring(range.start, range.end);

function visitOf(field) {
  const name = field.name.text;
  if (!field.type) throw new Error(`${textOf(field)}: a field of a @row or @data class needs a type`);
  const alias = named(field.decorators, "alias")?.args[0];
  const shown = alias ? textOf(alias) : JSON.stringify(name);
  const isKey = named(field.decorators, "key") !== undefined;
  return `this.${name} = fields.field<${textOf(field.type)}>(${shown}, this.${name}, ${isKey});`;
}

let parsed = 0;

/** Parses text as if it stood in the file `source`. */
function parse(parser, text, source) {
  parser.parseFile(text, `~lantern/generated-${parsed++}.ts`, false);
  const [file] = parser.sources.splice(-1);
  if (source) file.internalPath = source.internalPath;
  return file.statements[0];
}

export default {
  afterParse(parser) {
    // Kinds are numbers that differ between versions of the compiler, so a sample tells them.
    const sample = parse(parser, "class C { field: i32 = 0; }");
    const isMarked = ({ kind, decorators }) => kind === sample.kind && MARKS.some((mark) => named(decorators, mark));
    for (const source of parser.sources) {
      for (const declaration of source.statements.filter(isMarked)) {
        const fields = declaration.members.filter((member) => member.kind === sample.members[0].kind);
        const visits = fields.map(visitOf).join(" ");
        const generated = parse(parser, `class C { visit<F>(fields: F): void { ${visits} } }`, source);
        declaration.members.push(...generated.members);
      }
    }
  },
};
