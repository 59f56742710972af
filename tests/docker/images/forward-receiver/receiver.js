// Prints each record that it receives as one line of JSON, as fluentd's stdout output does in
// words. Like fluentd it refuses to start without its configuration, of which it obeys the port.
'use strict';

const fs = require('fs');
const {FluentServer} = require('@fluent-org/logger');

const CONFIGURATION = '/fluentd/etc/fluent.conf';

class Printer extends FluentServer {
  onEntry(tag, time, record) {
    console.log(JSON.stringify({tag, ...record}));
  }
}

const text = fs.readFileSync(CONFIGURATION, 'utf8');
const port = Number(/^\s*port\s+(\d+)\s*$/m.exec(text)[1]);
const server = new Printer({listenOptions: {port, host: '0.0.0.0'}});
server.listen().then(() => console.log(`receiving on ${port}`));
process.on('SIGTERM', () => server.close().then(() => process.exit(0)));
