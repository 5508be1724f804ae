{{ toYAML (sprig_dict "k" "aaaaaaaaaaaaaaaaaaaa: bbbbbbbbbbbbbbbbbbbbbbbb cccccccccccccccccccccccccccc ddddddddddddddddddddd eeeeeeeeeeeeeeeeeeee fffffffffffffff") }}
