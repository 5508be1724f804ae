{{ secret }}
