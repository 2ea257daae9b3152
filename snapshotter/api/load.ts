import type { ServiceDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { type Services, serviceFiles } from './types/services.ts';
import { wireOptions } from './wire.ts';

const loaded = new Map<string, ServiceDefinition>();

/** The grpc-js definition of a service, parsed from its .proto file at first use. */
export function loadService(name: keyof Services): ServiceDefinition {
  let definition = loaded.get(name);
  if (definition === undefined) {
    definition = loadSync(serviceFiles[name], wireOptions)[name] as unknown as ServiceDefinition;
    loaded.set(name, definition);
  }
  return definition;
}
