{{ $undefined }}
