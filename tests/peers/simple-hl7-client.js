// Send three messages on one connection with simple-hl7: a new identity, the same again, an unknown event.
// Prints one JSON line: for each reply, MSA-1, MSA-2 and the code of ERR-3.
const hl7 = require("simple-hl7");

const [host, port] = process.argv.slice(2);
const client = hl7.Server.createTcpClient({ host, port: Number(port), keepalive: true });

function message(event, controlId) {
  const adt = new hl7.Message(
    "RIS_A", "SITE_A", "MPI", "FED", "20260302101500", "", ["ADT", event], controlId, "P", "2.5",
    "", "", "", "", "FRA", "UNICODE UTF-8",
  );
  adt.addSegment("EVN", "", "20260302101500");
  adt.addSegment(
    "PID", "", "", ["JS1", "", "", ["SITE-A", "2.999.1.1", "ISO"], "PI"], "",
    ["CHÂTEREAU", "LOÏC", "", "", "", "", "L"], "", "19840229", "M",
  );
  return adt;
}

const replies = [];
const pending = [message("A28", "JS-1"), message("A28", "JS-1"), message("A99", "JS-2")];

function next() {
  const adt = pending.shift();
  if (!adt) {
    client.close();
    console.log(JSON.stringify(replies));
    return;
  }
  client.send(adt, (error, ack) => {
    if (error) {
      console.error(String(error));
      process.exit(1);
    }
    const msa = ack.getSegment("MSA");
    const err = ack.getSegment("ERR");
    replies.push([msa.getField(1), msa.getField(2), err ? String(err.getComponent(3, 1)) : ""]);
    setImmediate(next); // it counts as awaiting a reply until this returns
  });
}

next();
