import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  randomBytes,
  sign,
  X509Certificate,
} from 'node:crypto';

export interface TestCertificate {
  readonly keyPem: string;
  /** Self-signed: its own CA. */
  readonly certPem: string;
}

/** A certificate, valid for one day, for 127.0.0.1 to 127.0.0.4, localhost and registry.test. */
export function makeCertificate(): TestCertificate {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const keyPem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const tbs = tbsCertificate(createPublicKey(privateKey).export({ type: 'spki', format: 'der' }));
  const signature = sign('sha256', tbs, createPrivateKey(keyPem));
  const certificate = new X509Certificate(sequence(tbs, ecdsaWithSha256, bitString(signature)));
  return { keyPem, certPem: certificate.toString() };
}

// RFC 5280 in the distinguished encoding rules of ASN.1 (X.690): tag, length, value.

const ecdsaWithSha256 = sequence(objectIdentifier('2a8648ce3d040302'));

function tbsCertificate(spki: Buffer): Buffer {
  // A unique name, because verifiers look up issuers by name.
  const name = sequence(
    set(sequence(objectIdentifier('550403'), utf8String(`test ${randomBytes(8).toString('hex')}`))),
  );
  const hourMs = 3_600_000;
  const validity = sequence(utcTime(Date.now() - hourMs), utcTime(Date.now() + 24 * hourMs));
  const addresses = [1, 2, 3, 4].map((last) => element(0x87, Buffer.from([127, 0, 0, last])));
  const names = ['localhost', 'registry.test'].map((host) => element(0x82, Buffer.from(host)));
  const subjectAltName = sequence(objectIdentifier('551d11'), octetString(sequence(...addresses, ...names)));
  const basicConstraints = sequence(
    objectIdentifier('551d13'),
    octetString(sequence(element(0x01, Buffer.from([0xff])))),
  );
  // A serial number is a positive integer.
  const serial = element(0x02, Buffer.concat([Buffer.from([1]), randomBytes(8)]));
  const version3 = element(0xa0, element(0x02, Buffer.from([2])));
  const extensions = element(0xa3, sequence(basicConstraints, subjectAltName));
  return sequence(version3, serial, ecdsaWithSha256, name, validity, name, spki, extensions);
}

function element(tag: number, ...parts: readonly Buffer[]): Buffer {
  const value = Buffer.concat(parts);
  const length = value.length < 0x80 ? [value.length] : [0x82, value.length >> 8, value.length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...length]), value]);
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return element(0x30, ...parts);
}

function set(...parts: readonly Buffer[]): Buffer {
  return element(0x31, ...parts);
}

function objectIdentifier(hex: string): Buffer {
  return element(0x06, Buffer.from(hex, 'hex'));
}

function utf8String(text: string): Buffer {
  return element(0x0c, Buffer.from(text));
}

function octetString(value: Buffer): Buffer {
  return element(0x04, value);
}

function bitString(value: Buffer): Buffer {
  return element(0x03, Buffer.from([0]), value);
}

/** YYMMDDHHMMSSZ */
function utcTime(timeMs: number): Buffer {
  const digits = new Date(timeMs).toISOString().replace(/\D/g, '').slice(2, 14);
  return element(0x17, Buffer.from(`${digits}Z`));
}
