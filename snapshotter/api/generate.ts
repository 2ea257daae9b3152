// Writes types/*.ts from proto/*.proto: `node snapshotter/api/generate.ts`. api.test.ts checks that they agree.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadSync } from '@grpc/proto-loader';
import { protoDir, wireOptions } from './wire.ts';

/** The parts of protobuf's descriptor messages, as proto-loader returns them, that this file reads. */
interface FieldShape {
  readonly name: string;
  readonly label: 'LABEL_OPTIONAL' | 'LABEL_REPEATED';
  readonly type: string;
  readonly typeName: string;
}
interface EnumShape {
  readonly name: string;
  readonly value: readonly { readonly name: string }[];
}
interface MessageShape {
  readonly name: string;
  readonly field: readonly FieldShape[];
  readonly nestedType: readonly MessageShape[];
  readonly enumType: readonly EnumShape[];
  readonly options: { readonly mapEntry?: boolean } | null;
}
interface MethodShape {
  readonly path: string;
  readonly originalName: string;
  readonly responseStream: boolean;
  readonly requestType: { readonly type: MessageShape };
  readonly responseType: { readonly type: MessageShape };
}

/** The JavaScript type of each scalar under `wireOptions`. */
const scalarTypes: Readonly<Record<string, string>> = {
  TYPE_STRING: 'string',
  TYPE_BOOL: 'boolean',
  TYPE_BYTES: 'Buffer',
  TYPE_INT32: 'number',
  TYPE_INT64: 'number',
  TYPE_UINT32: 'number',
  TYPE_UINT64: 'number',
};

const wellKnown = new Set(['Any', 'Empty', 'FieldMask', 'Timestamp']);

/** File name (under api/) -> text, for every .proto file and the index of services. */
export function generateTypes(): Map<string, string> {
  const files = new Map<string, string>();
  const packages = readPackages();
  const services: string[] = [];
  const serviceImports: string[] = [];
  const serviceFiles: string[] = [];
  for (const [packageName, protoFile] of packages) {
    const module = moduleOf(protoFile);
    const text = renderPackage(packageName, protoFile, packages);
    files.set(`types/${module}.ts`, text.types);
    const aliases = text.services.map((service) => `${service} as ${aliasOf(module, service)}`);
    if (aliases.length > 0) serviceImports.push(`import type { ${aliases.join(', ')} } from './${module}.ts';`);
    for (const service of text.services) {
      services.push(`  '${packageName}.${service}': ${aliasOf(module, service)};`);
      serviceFiles.push(`  '${packageName}.${service}': '${protoFile}',`);
    }
  }
  const index = [
    ...serviceImports,
    '',
    'export interface Services {',
    ...services,
    '}',
    '',
    '/** Where each service is declared. */',
    'export const serviceFiles: Readonly<Record<keyof Services, string>> = {',
    ...serviceFiles,
    '};',
  ];
  files.set('types/services.ts', `${header('all of proto/')}${index.join('\n')}\n`);
  return files;
}

function readPackages(): Map<string, string> {
  const packages = new Map<string, string>();
  const names = readdirSync(protoDir, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.proto'));
  for (const name of names.sort()) {
    const packageName = /^package ([\w.]+);$/m.exec(readFileSync(join(protoDir, name), 'utf8'))?.[1];
    if (packageName === undefined) throw new Error(`${name}: no package declaration`);
    if (packages.has(packageName)) throw new Error(`${name}: package ${packageName} already has a file`);
    packages.set(packageName, name);
  }
  return packages;
}

function renderPackage(packageName: string, protoFile: string, packages: ReadonlyMap<string, string>) {
  const definition = loadSync(protoFile, wireOptions) as unknown as Record<string, Record<string, unknown>>;
  const imports = new Map<string, Set<string>>();
  const refer = (module: string, name: string) => {
    imports.set(module, (imports.get(module) ?? new Set()).add(name));
    return name;
  };
  const resolve = (typeName: string): string => {
    if (`${packageName}.${typeName}` in definition) return typeName;
    const name = typeName.slice(typeName.lastIndexOf('.') + 1);
    // Type names are relative to their package: search from the innermost scope outward, as protoc does.
    const scopes = packageName.split('.');
    for (let length = scopes.length - 1; length >= 0; length--) {
      const owner = [...scopes.slice(0, length), ...typeName.split('.').slice(0, -1)].join('.');
      if (owner === 'google.protobuf' && wellKnown.has(name)) return refer('../well-known.ts', name);
      const file = packages.get(owner);
      if (file !== undefined) return refer(`./${moduleOf(file)}.ts`, name);
    }
    throw new Error(`${protoFile}: no file for ${typeName}`);
  };

  const blocks: string[] = [];
  const services: string[] = [];
  for (const [fullName, shape] of Object.entries(definition)) {
    const name = fullName.slice(packageName.length + 1);
    if (!fullName.startsWith(`${packageName}.`) || name.includes('.')) continue;
    if ('format' in shape) {
      const format = String(shape.format);
      if (format.includes('EnumDescriptor')) blocks.push(renderEnum(name, shape.type as EnumShape));
      else blocks.push(renderMessage(name, shape.type as MessageShape, resolve));
    } else {
      services.push(name);
      blocks.push(renderService(name, Object.values(shape) as MethodShape[], resolve, refer));
    }
  }
  const importLines = [...imports]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([module, names]) => `import type { ${[...names].sort().join(', ')} } from '${module}';\n`);
  const types = `${header(`proto/${protoFile}`)}${importLines.join('')}${importLines.length > 0 ? '\n' : ''}${blocks.join('\n')}`;
  return { types, services };
}

function renderMessage(name: string, message: MessageShape, resolve: (typeName: string) => string): string {
  const blocks: string[] = [];
  const nested = (typeName: string) => message.nestedType.find((type) => type.name === typeName);
  const typeOf = (field: FieldShape): string => {
    if (field.type !== 'TYPE_MESSAGE' && field.type !== 'TYPE_ENUM') {
      const scalar = scalarTypes[field.type];
      if (scalar === undefined) throw new Error(`${name}.${field.name}: no mapping for ${field.type}`);
      return scalar;
    }
    const inner = nested(field.typeName) ?? message.enumType.find((type) => type.name === field.typeName);
    return inner === undefined ? resolve(field.typeName) : `${name}_${inner.name}`;
  };
  for (const inner of message.enumType) blocks.push(renderEnum(`${name}_${inner.name}`, inner));
  for (const inner of message.nestedType) {
    if (inner.options?.mapEntry !== true) blocks.push(renderMessage(`${name}_${inner.name}`, inner, resolve));
  }
  const fields = message.field.map((field) => {
    const entry = nested(field.typeName);
    if (entry?.options?.mapEntry === true) return `  ${field.name}: Record<string, ${typeOf(entry.field[1]!)}>;`;
    if (field.label === 'LABEL_REPEATED') return `  ${field.name}: ${typeOf(field)}[];`;
    return `  ${field.name}: ${typeOf(field)}${field.type === 'TYPE_MESSAGE' ? ' | null' : ''};`;
  });
  blocks.push(
    fields.length === 0
      ? `export type ${name} = Record<never, never>;\n`
      : `export interface ${name} {\n${fields.join('\n')}\n}\n`,
  );
  return blocks.join('\n');
}

function renderEnum(name: string, shape: EnumShape): string {
  return `export type ${name} = ${shape.value.map((value) => `'${value.name}'`).join(' | ')};\n`;
}

function renderService(
  name: string,
  methods: readonly MethodShape[],
  resolve: (typeName: string) => string,
  refer: (module: string, name: string) => string,
): string {
  const messageName = (type: MessageShape) => (type.name === 'Empty' ? resolve('google.protobuf.Empty') : type.name);
  const lines = methods.map((method) => {
    const kind = refer('../well-known.ts', method.responseStream ? 'ServerStream' : 'Unary');
    const [request, response] = [messageName(method.requestType.type), messageName(method.responseType.type)];
    return `  ${method.originalName}: ${kind}<${request}, ${response}>;`;
  });
  return `export interface ${name} {\n${lines.join('\n')}\n}\n`;
}

function moduleOf(protoFile: string): string {
  return protoFile.replace(/\.proto$/, '').replaceAll('/', '-');
}

function aliasOf(module: string, service: string): string {
  return `${module}_${service}`;
}

function header(source: string): string {
  return `// Generated from ${source} by generate.ts; do not edit.\n`;
}

if (import.meta.main) {
  for (const [name, text] of generateTypes()) writeFileSync(join(import.meta.dirname, name), text);
}
