// The main job by simple-hl7: state one person at two sites, then ask who it is elsewhere.
// Prints one JSON line: the codes of the acknowledgements, then MSA-1, QAK-2 and PID-3 of the answer.
const hl7 = require("simple-hl7");

const [host, port] = process.argv.slice(2);
const client = hl7.Server.createTcpClient({ host, port: Number(port), keepalive: true });

function identity(site, oid, value, controlId) {
  const adt = new hl7.Message(
    `RIS_${site}`, `SITE_${site}`, "MPI", "FED", "20260302101500", "", ["ADT", "A28"], controlId, "P", "2.5",
    "", "", "", "", "FRA", "UNICODE UTF-8",
  );
  adt.addSegment("EVN", "", "20260302101500");
  adt.addSegment(
    "PID", "", "", [value, "", "", [`SITE-${site}`, oid, "ISO"], "PI"], "",
    ["CHÂTEREAU", "LOÏC", "LOÏC JEAN-MARIE", "", "", "", "L"], "", "19840229", "M", "", "",
    ["12 RUE DES LILAS", "", "LIMOGES", "", "87000", "FRA", "H"],
  );
  return adt;
}

function question() {
  const qbp = new hl7.Message(
    "PORTAL", "FED", "MPI", "FED", "20260302102000", "", ["QBP", "Q23", "QBP_Q21"], "JQ-1", "P", "2.5",
    "", "", "", "", "FRA", "UNICODE UTF-8",
  );
  qbp.addSegment("QPD", "IHE PIX Query", "T1", ["JS-A", "", "", ["SITE-A", "2.999.1.1", "ISO"]]);
  qbp.addSegment("RCP", "I");
  return qbp;
}

const said = [];
const pending = [
  identity("A", "2.999.1.1", "JS-A", "JS-1"), identity("B", "2.999.1.2", "JS-B", "JS-2"), question(),
];

function next() {
  const message = pending.shift();
  if (!message) {
    client.close();
    console.log(JSON.stringify(said));
    return;
  }
  client.send(message, (error, reply) => {
    if (error) {
      console.error(String(error));
      process.exit(1);
    }
    said.push(reply.getSegment("MSA").getField(1));
    if (pending.length === 0) {
      said.push(reply.getSegment("QAK").getField(2));
      said.push(reply.getSegment("PID").getComponent(3, 1));
    }
    setImmediate(next); // it counts as awaiting a reply until this returns
  });
}

next();
