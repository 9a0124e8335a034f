// What a FHIR client of this portal would do, with two of them. Arguments: which, base address, key.
// Prints one JSON object: what each step was answered.
import { MedplumClient } from '@medplum/core';
import { Client as FhirKitClient } from 'fhir-kit-client';

const [which, base, key] = process.argv.slice(2);
const A = 'urn:oid:2.999.1.1';
const question = {
  resourceType: 'Parameters',
  parameter: [
    {
      name: 'resource',
      resource: {
        resourceType: 'Patient',
        name: [{ use: 'official', family: 'Chantereau', given: ['Louise'] }],
        gender: 'female',
        birthDate: '1984-02-29',
      },
    },
    { name: 'count', valueInteger: 5 },
  ],
};

async function withFhirKit() {
  const client = new FhirKitClient({ baseUrl: `${base}/fhir`, bearerToken: key });
  const statement = await client.capabilityStatement();
  const pix = await client.request(`Patient/$ihe-pix?sourceIdentifier=${encodeURIComponent(`${A}|A1001`)}`);
  const first = await client.search({ resourceType: 'Patient', searchParams: { family: 'chant', _count: 1 } });
  const posted = await client.search({
    resourceType: 'Patient', searchParams: { family: 'chant' }, options: { postSearch: true },
  });
  const next = await client.nextPage({ bundle: first });
  const read = await client.read({ resourceType: 'Patient', id: first.entry[0].resource.id });
  const match = await client.operation({ resourceType: 'Patient', name: '$match', input: question });
  let unknown = null;
  try {
    await client.read({ resourceType: 'Patient', id: 'NOBODY' });
  } catch (error) {
    unknown = [error.response.status, error.response.data.issue[0].code];
  }
  return { statement, pix, pages: [first, next], posted, read, match, unknown };
}

async function withMedplum() {
  const client = new MedplumClient({ baseUrl: base, fhirUrlPath: 'fhir', accessToken: key, cacheTime: 0 });
  const statement = await client.get(client.fhirUrl('metadata'));
  const pix = await client.get(client.fhirUrl('Patient', `$ihe-pix?sourceIdentifier=${encodeURIComponent(`${A}|A1001`)}`));
  const pages = [];
  for (let url = client.fhirUrl('Patient').toString() + '?family=chant&_count=1'; url; ) {
    const page = await client.get(url);
    pages.push(page);
    url = page.link.find((each) => each.relation === 'next')?.url;
  }
  const posted = await client.search('Patient', { family: 'chant' });
  const read = await client.readResource('Patient', pages[0].entry[0].resource.id);
  const history = await client.readHistory('Patient', read.id);
  const match = await client.post(client.fhirUrl('Patient', '$match'), question);
  let unknown = null;
  try {
    await client.readResource('Patient', 'NOBODY');
  } catch (error) {
    unknown = [404, error.outcome.issue[0].code];
  }
  return { statement, pix, pages, posted, read, history, match, unknown };
}

console.log(JSON.stringify(await (which === 'medplum' ? withMedplum() : withFhirKit())));
