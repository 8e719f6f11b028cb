// duckdb.js: DuckDB as a peer.  Lines of JSON in, lines of JSON out:
//   {"sql": [...]}                         run them; answers {"wall", "cpu"} of the statements
//   {"array": path, "table": name, "dim": n}   a file of raw f32 rows as table name(id INTEGER, embedding FLOAT[n])
//   {"numbers": path, "table": name, "columns": [...]} a file of raw f64 rows as a table of DOUBLE columns
//   {"fetch": sql, "path": path}           its rows of numbers as raw f64 in a file
'use strict';
const fs = require('fs');
const path = require('path');
const readline = require('readline');
const modules = process.argv[2];
const duckdb = require(path.join(modules, '@duckdb', 'node-api'));

function numbersOf(file, Type) {
  const bytes = fs.readFileSync(file);
  return new Type(bytes.buffer, bytes.byteOffset, bytes.byteLength / Type.BYTES_PER_ELEMENT);
}

async function arrayTable(db, job) {
  const data = numbersOf(job.array, Float32Array);
  await db.run(`CREATE OR REPLACE TABLE ${job.table}(id INTEGER, embedding FLOAT[${job.dim}])`);
  const appender = await db.createAppender(job.table);
  const type = duckdb.ARRAY(duckdb.FLOAT, job.dim);
  for (let i = 0; i * job.dim < data.length; i++) {
    appender.appendInteger(i);
    appender.appendArray(duckdb.arrayValue(Array.from(data.subarray(i * job.dim, (i + 1) * job.dim))), type);
    appender.endRow();
  }
  appender.closeSync();
}

async function numbersTable(db, job) {
  const data = numbersOf(job.numbers, Float64Array), n = job.columns.length;
  await db.run(`CREATE OR REPLACE TABLE ${job.table}(${job.columns.map((c) => c + ' DOUBLE').join(', ')})`);
  const appender = await db.createAppender(job.table);
  for (let i = 0; i < data.length; i += n) {
    for (let c = 0; c < n; c++) appender.appendDouble(data[i + c]);
    appender.endRow();
  }
  appender.closeSync();
}

async function fetchRows(db, job) {
  const columns = await (await db.runAndReadAll(job.fetch)).getColumns();
  const rows = columns.length ? columns[0].length : 0, out = new Float64Array(rows * columns.length);
  columns.forEach((column, c) => column.forEach((x, i) => { out[i * columns.length + c] = Number(x); }));
  fs.writeFileSync(job.path, Buffer.from(out.buffer));
}

async function main() {
  const db = await (await duckdb.DuckDBInstance.create(':memory:', {threads: process.argv[3]})).connect();
  console.log(JSON.stringify({version: duckdb.version()}));
  for await (const line of readline.createInterface({input: process.stdin})) {
    const job = JSON.parse(line), cpu = process.cpuUsage(), wall = process.hrtime.bigint();
    let answer = {};
    try {
      if (job.array) await arrayTable(db, job);
      else if (job.numbers) await numbersTable(db, job);
      else if (job.fetch) await fetchRows(db, job);
      else for (const sql of job.sql) await db.run(sql);
      const used = process.cpuUsage(cpu);
      answer = {wall: Number(process.hrtime.bigint() - wall) / 1e9, cpu: (used.user + used.system) / 1e6};
    } catch (error) {
      answer = {error: String(error.message || error)};
    }
    console.log(JSON.stringify(answer));
  }
}

main();
