{{ toYAML (sprig_dict "k" "aaaaaaaaaaaaaaaaaaaa\t bbbbbbbbbbbbbbbbbbbbbbbb cccccccccccccccccccccccccccc ddddddddddddddddddddd eeeeeeeeeeeeeeeeeeee fffffffffffffff") }}
