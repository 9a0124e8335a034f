// By simple-hl7, on one connection: state three people, one of them at two sites; ask who one is elsewhere (ITI-9);
// then ask for them by name, two to a page (ITI-21), and cancel. Prints one JSON line with what was answered.
const hl7 = require("simple-hl7");
const Field = require("simple-hl7/lib/hl7/field");

const [host, port] = process.argv.slice(2);
const client = hl7.Server.createTcpClient({ host, port: Number(port), keepalive: true });
const TAIL = ["P", "2.5", "", "", "", "", "FRA", "UNICODE UTF-8"];

function identity(application, site, value, given, born, controlId) {
  const adt = new hl7.Message(
    application, `SITE_${site}`, "MPI", "FED", "20260302101500", "", ["ADT", "A28", "ADT_A05"], controlId, ...TAIL,
  );
  adt.addSegment("EVN", "", "20260302101500");
  adt.addSegment(
    "PID", "", "", [value, "", "", [`SITE-${site}`, `2.999.1.${site === "A" ? 1 : 2}`, "ISO"], "PI"], "",
    ["CHÂTEREAU", given, given, "", "", "", "L"], "", born, "F", "", "", ["12 RUE DES ÉGLANTIERS", "", "LIMOGES"],
  );
  return adt;
}

function asked(event, structure, controlId) {
  const type = event === "J01" ? "QCN" : "QBP";
  return new hl7.Message(
    "VIEWER_B", "SITE_B", "MPI", "FED", "20260302102000", "", [type, event, structure], controlId, ...TAIL,
  );
}

function whoElsewhere() {
  const qbp = asked("Q23", "QBP_Q21", "JS-5");
  qbp.addSegment("QPD", "IHE PIX Query", "T1", ["JS1", "", "", ["SITE-A", "2.999.1.1", "ISO"]]);
  qbp.addSegment("RCP", "I");
  return qbp;
}

function whoIs(controlId, pointer) {
  const qbp = asked("Q22", "QBP_Q21", controlId);
  const qpd = qbp.addSegment("QPD", "IHE PDQ Query", "T2", "");
  qpd.fields[2] = new Field(["@PID.5.1.1", "CHÂ*"], ["@PID.8", "F"]); // its own way to repeat a field
  qbp.addSegment("RCP", "I", ["2", "RD"]);
  if (pointer) {
    qbp.addSegment("DSC", pointer, "I");
  }
  return qbp;
}

function cancel() {
  const qcn = asked("J01", "QCN_J01", "JS-8");
  qcn.addSegment("QID", "T2", "IHE PDQ Query");
  return qcn;
}

const said = { acknowledged: [], elsewhere: "", pages: [], cancelled: "" };
let pointer = "";
const pending = [
  () => identity("RIS_A", "A", "JS1", "LOÏSE", "19840229", "JS-1"),
  () => identity("RIS_A", "A", "JS2", "ZOÉ", "19510714", "JS-2"),
  () => identity("RIS_A", "A", "JS3", "HÉLÈNE", "19790312", "JS-3"),
  () => identity("HUB", "B", "JS9", "LOÏSE", "19840229", "JS-4"),
  whoElsewhere,
  () => whoIs("JS-6"),
  () => whoIs("JS-7", pointer),
  cancel,
];

function heard(reply) {
  const event = String(reply.header.getComponent(7, 2));
  const msa1 = reply.getSegment("MSA").getField(1);
  if (event === "K23") {
    said.elsewhere = String(reply.getSegment("PID").getComponent(3, 1));
  } else if (event === "K22") {
    const people = reply.getSegments("PID").map((pid) => String(pid.getComponent(5, 1)) + " " + pid.getComponent(5, 2));
    const qak = reply.getSegment("QAK");
    said.pages.push({ people, counts: [4, 5, 6].map((n) => qak.getField(n)) });
    pointer = reply.getSegment("DSC") ? reply.getSegment("DSC").getField(1) : "";
  } else if (event === "J01") {
    said.cancelled = msa1;
  } else {
    said.acknowledged.push(msa1);
  }
}

function next() {
  const message = pending.shift();
  if (!message) {
    client.close();
    console.log(JSON.stringify(said));
    return;
  }
  client.send(message(), (error, reply) => {
    if (error) {
      console.error(String(error));
      process.exit(1);
    }
    heard(reply);
    setImmediate(next); // it counts as awaiting a reply until this returns
  });
}

next();
