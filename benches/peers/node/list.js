// The one call that is compared; the others are answered UNIMPLEMENTED.
import grpc from '@grpc/grpc-js';
import pg from 'pg';

const LIST = `
  select t.message_count, m.id, m.message_id, m.ticket_id, m.user_sendbird_id, m.user_type, m.create_time, m.delete_time,
    m.requested_from, m.requested_by, m.message, m.data, m.files, m.external_id
  from tickets t
  left join lateral (
    select *
    from chat_messages
    where application_key = t.application_key and ticket_id = t.id and message_id > $3
    order by message_id
    limit $4
  ) m on true
  where t.application_key = $1 and t.id = $2
  order by m.message_id`;

// Ids are below 2^53.
pg.types.setTypeParser(pg.types.builtins.INT8, Number);
// A Date has milliseconds only. The session's time zone is UTC: "2026-09-01 08:00:00.123456+00".
pg.types.setTypeParser(pg.types.builtins.TIMESTAMPTZ, (text) => {
  const [whole, fraction = ''] = text.slice(0, -3).split('.');
  return { seconds: Date.parse(`${whole.replace(' ', 'T')}Z`) / 1000, nanos: Number(fraction.padEnd(9, '0')) };
});

export function lister(pool, applicationKey) {
  return async (call, callback) => {
    try {
      callback(null, await list(pool, applicationKey, call.request));
    } catch (error) {
      callback(error.code in grpc.status ? error : { code: grpc.status.INTERNAL, details: error.message });
    }
  };
}

async function list(pool, applicationKey, request) {
  const limit = request.page_size || 50;
  if (limit < 1 || limit > 500) throw refusal('INVALID_ARGUMENT', 'page_size must be from 1 to 500');
  if (request.skip < 0) throw refusal('INVALID_ARGUMENT', 'skip must be 0 or greater');
  const last = Number(request.page_token || 0);
  if (!Number.isSafeInteger(last)) throw refusal('INVALID_ARGUMENT', 'page_token is not one of ours');
  const after = last + request.skip;

  const values = [applicationKey, request.ticket_id, after, limit];
  const { rows } = await pool.query({ name: 'list', text: LIST, values });
  if (rows.length === 0) throw refusal('NOT_FOUND', `there is no ticket ${request.ticket_id}`);
  const total = rows[0].message_count;
  // All but the count are null where the ticket has no messages on the page.
  const messages = rows.filter((row) => row.id !== null).map(render);
  const end = messages.at(-1)?.message_id ?? total;
  return { chat_messages: messages, next_page_token: end < total ? String(end) : '', total_size: total };
}

function render(row) {
  return {
    id: row.id,
    message_id: row.message_id,
    ticket_id: row.ticket_id,
    user_sendbird_id: row.user_sendbird_id,
    user_type: `USER_TYPE_${row.user_type}`,
    create_time: row.create_time,
    delete_time: row.delete_time,
    requested_from: `REQUESTED_FROM_${row.requested_from ?? 'UNSPECIFIED'}`,
    requested_by: row.requested_by,
    message: row.message,
    data: row.data,
    files: row.files,
    external_id: row.external_id ?? '',
  };
}

function refusal(code, details) {
  return { code: grpc.status[code], details };
}
