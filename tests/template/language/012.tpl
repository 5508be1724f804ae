{{ range sprig_untilStep 3 12 4 }}{{ . }},{{ end }} {{ sprig_seq 5 }} {{ sprig_seq -3 }} {{ sprig_seq 2 6 }} {{ sprig_seq 1 3 9 }} {{ sprig_seq 0 }}
