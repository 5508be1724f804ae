{{ sprig_list 1 "a" | toYAML }}|{{ sprig_dict "a" (sprig_list) "b" (sprig_dict) | toYAML }}|{{ toYAML "x" }}|{{ toYAML 5 }}|{{ toYAML nil }}
