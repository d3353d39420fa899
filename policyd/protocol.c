/*
 * protocol: see protocol.h. In: bytes as they came. Out: where a request lies in them. It must
 * never wait for the rest of what is too long already.
 */
#include "policyd/protocol.h"

#include "core/netstring.h"
#include "core/policy_request.h"

static enum protocol_frame_result
policy_frame(char *data, size_t length, size_t *resume, struct protocol_frame *out)
{
	size_t whole = policy_request_length(data, length, resume);

	if (whole > POLICY_REQUEST_MAX || (whole == 0 && length >= POLICY_REQUEST_MAX))
		return FRAME_BAD;
	if (whole == 0)
		return FRAME_MORE;
	*out = (struct protocol_frame){.payload = data, .length = whole, .consumed = whole};
	return FRAME_WHOLE;
}

static size_t
policy_answer(const struct answer_view *view, struct pin_session *session,
    const struct protocol_frame *request, struct answer_note *note, char *out, size_t size)
{
	(void)session;
	return answer_policy(view, request->payload, request->length, note, out, size);
}

static enum protocol_frame_result
map_frame(char *data, size_t length, size_t *resume, struct protocol_frame *out)
{
	struct netstring netstring;

	(void)resume;
	switch (netstring_decode(data, length, ANSWER_MAP_KEY_MAX, &netstring)) {
	case NETSTRING_MORE: return FRAME_MORE;
	case NETSTRING_BAD: return FRAME_BAD;
	case NETSTRING_OK: break;
	}
	*out = (struct protocol_frame){
	    .payload = data + (netstring.payload - data),
	    .length = netstring.length,
	    .consumed = netstring.consumed,
	};
	return FRAME_WHOLE;
}

static size_t
map_answer_frame(const struct answer_view *view, struct pin_session *session,
    const struct protocol_frame *request, struct answer_note *note, char *out, size_t size)
{
	return answer_map(view, session, request->payload, request->length, note, out, size);
}

const struct protocol *
protocol_of(enum protocol_kind kind)
{
	static const struct protocol protocols[PROTOCOL_KINDS] = {
	    [PROTOCOL_POLICY] = {"policy", policy_frame, policy_answer},
	    [PROTOCOL_MAP] = {"map", map_frame, map_answer_frame},
	};

	return &protocols[kind];
}
