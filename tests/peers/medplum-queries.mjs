// By @medplum/hl7, on one connection, in the character set asked for: state three people, one of them at two sites;
// ask who one is elsewhere (ITI-9); then ask for them by name, two to a page (ITI-21), and cancel.
// Prints one JSON line with what was answered.
import { Hl7Message } from "@medplum/core";
import { Hl7Client } from "@medplum/hl7";

const [host, port, encoding, charset] = process.argv.slice(2);
const client = new Hl7Client({ host, port: Number(port), encoding, keepAlive: true });

function header(application, site, type, controlId) {
  return `MSH|^~\\&|${application}|SITE_${site}|MPI|FED|20260302101500||${type}|${controlId}|P|2.5|||||FRA|${charset}`;
}

function identity(application, site, value, given, born, controlId) {
  const authority = `SITE-${site}&2.999.1.${site === "A" ? 1 : 2}&ISO`;
  return [
    header(application, site, "ADT^A28^ADT_A05", controlId),
    "EVN||20260302101500",
    `PID|||${value}^^^${authority}^PI||CHÂTEREAU^${given}^${given}^^^^L||${born}|F|||12 RUE DES ÉGLANTIERS^^LIMOGES`,
  ];
}

async function send(lines) {
  return client.sendAndWait(Hl7Message.parse(lines.join("\r")));
}

const said = { acknowledged: [], elsewhere: "", pages: [], cancelled: "" };
for (const [application, site, value, given, born] of [
  ["RIS_A", "A", "JS1", "LOÏSE", "19840229"],
  ["RIS_A", "A", "JS2", "ZOÉ", "19510714"],
  ["RIS_A", "A", "JS3", "HÉLÈNE", "19790312"],
  ["HUB", "B", "JS9", "LOÏSE", "19840229"],
]) {
  const reply = await send(identity(application, site, value, given, born, `M-${value}`));
  said.acknowledged.push(reply.getSegment("MSA").getComponent(1, 1));
}

const k23 = await send([
  header("VIEWER_B", "B", "QBP^Q23^QBP_Q21", "M-5"),
  "QPD|IHE PIX Query|T1|JS1^^^SITE-A&2.999.1.1&ISO",
  "RCP|I",
]);
said.elsewhere = k23.getSegment("PID").getComponent(3, 1);

let pointer = "";
do {
  const k22 = await send([
    header("VIEWER_B", "B", "QBP^Q22^QBP_Q21", `M-6-${pointer}`),
    "QPD|IHE PDQ Query|T2|@PID.5.1.1^CHÂ*~@PID.8^F",
    "RCP|I|2^RD",
    ...(pointer ? [`DSC|${pointer}|I`] : []),
  ]);
  const people = k22
    .getAllSegments("PID")
    .map((pid) => `${pid.getComponent(5, 1)} ${pid.getComponent(5, 2)}`);
  said.pages.push({ people, counts: [4, 5, 6].map((n) => k22.getSegment("QAK").getComponent(n, 1)) });
  pointer = k22.getSegment("DSC")?.getComponent(1, 1) ?? "";
} while (pointer);

const ack = await send([header("VIEWER_B", "B", "QCN^J01^QCN_J01", "M-7"), "QID|T2|IHE PDQ Query"]);
said.cancelled = ack.getSegment("MSA").getComponent(1, 1);
console.log(JSON.stringify(said));
await client.close();
